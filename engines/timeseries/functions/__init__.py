"""The functions of Timestream's SQL. `timestream()` gives them; the standard ones of the SQL floor are among them.

times           bin ago date_trunc date_add date_diff from_* to_* parse_duration, parts of a time
series          derivative_linear integral_trapezoidal correlate_pearson ...
interpolation   interpolate_linear interpolate_locf interpolate_fill interpolate_spline_cubic
arrays          sequence cardinality element_at contains slice
lambdas         filter transform reduce zip_with any_match all_match none_match
aggregates      create_time_series max_by min_by approx_percentile
absent          names of other services' functions, with a word on what to write instead
taking          which types a function takes
"""

from engines.sql.functions import Functions, standard
from engines.timeseries.functions import absent, aggregates, arrays, interpolation, lambdas, series, times
from engines.timeseries.functions.aggregates import Refused


def timestream() -> Functions:
    """A registry of one's own."""
    made = standard()
    for module in (times, series, interpolation, arrays, lambdas, aggregates, absent):
        made.add(module.FUNCTIONS)
    return made


__all__ = ["Refused", "timestream"]
