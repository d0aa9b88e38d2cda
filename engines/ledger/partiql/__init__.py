"""PartiQL, as far as QLDB spoke it: parsed, and run over plain values, without a ledger.

    text ──lexer──expressions──parser──> nodes ──compiler──> Python functions ──evaluate──> values
                                                 plan: what an index may answer
                                                 sources: where rows come from

    from engines.ledger import partiql
    partiql.run("SELECT VALUE v.a FROM T AS v WHERE v.b = ?", {"T": [{"a": 1, "b": 2}]}, [2])        # [1]

NULL and MISSING are two things: an attribute that is not there is MISSING, and so is what makes no sense ('a' + 1); a
comparison with either is not true. Names of tables, variables and attributes are found as they are written: capitals
count, in QLDB as here.

Smaller than the standard: no GROUP BY and ORDER BY, no PIVOT, no wildcards in paths. QLDB had none of them either.

Where values are JSON's, the standard gives way: bags are lists (<<1, 2>> is not <<2, 1>>), a struct has a name once
(the last one counts), and what would be MISSING in a list or among the values of SELECT VALUE is left out.
"""

from engines.ledger.partiql.evaluate import run
from engines.ledger.partiql.nodes import MISSING, Statement
from engines.ledger.partiql.parser import parse
from engines.ledger.partiql.values import microseconds

__all__ = ["MISSING", "Statement", "microseconds", "parse", "run"]
