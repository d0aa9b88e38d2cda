"""timeseries: recent points in memory, history in tiles, SQL with time functions; the class of Amazon Timestream."""

from engines.timeseries.engine import TimeSeries
from engines.timeseries.objects import Series
from engines.timeseries.results import Rejected, RejectedRecords, WriteResult
from engines.timeseries.table import TimeTable

__all__ = ["Rejected", "RejectedRecords", "Series", "TimeSeries", "TimeTable", "WriteResult"]
