"""timeseries: what was measured, where and when; recent points at hand, old ones small. The class of Amazon Timestream.

    db = TimeSeries("metrics")
    cpu = db.create_table("cpu", memory="24h", magnetic="365d")                # how long rows stay in which tier
    cpu.write(times, {"host": "a", "region": "eu"}, {"usage": usage})       # or write_records, write_lines, write_table
    db.sql("SELECT host, bin(time, 15m), avg(usage) FROM cpu WHERE time > ago(2h) GROUP BY 1, 2")
    cpu.last(host="a"), cpu.series(host="a")["usage"]                          # the newest row; a series as an object
    db.explain("SELECT ..."), db.layout(), db.verify()                         # what was touched, what lies where
    db.create_scheduled_query("hourly", "SELECT ...", every="1h", into="cpu_hourly", dimensions=("host",))
    db.tick()                                                                  # do what is due by the clock

    write ──> judged by identity and version ──> log ──> memory, as runs of rows
                                                           └─[checkpoint]─> a blob a tile, hot codec
                                                                              └─[tick]─> the same tile, cold codec

    record   dimensions, measure name, time: who it is | version | measures              there is one record of each
    series   all records of the same dimensions and measure name -> a number             series.py
    tile     one window of time (a day) of one table, all its series                     memory, or a blob: tile.py
    block    up to 1,024 rows of one column of one series, and a summary of them          part.py, codec.py

    cpu, 1 January     TIME      usage              idle
      series 0         0 bytes   FRAME   642        DELTA  268     1,024 values of 5 bits; of 2 bits, as differences
      series 1         RUNS 36   DICTIONARY 280     RAW  8,192     gaps in time; a few odd numbers; noise

**A tier is a codec and a place, not another data structure.** Whoever reads asks a table for its parts, and a part
looks the same in memory, in a hot blob and in a cold one.

Where to read
    a user's table      table, defining.py,           what becomes blocks   part, codec, texts, cold.py
                        doors, objects.py             kernels of these      _native/tsblocks.pyx, tsblock.pxd,
    rows come in        columns, intake, moments.py,                        tsencode.pxd, tsdecode.pxd, tslanes.h
                        records, lines, results.py    tiles                 tile, merge.py, _native/tsmerge.pyx
    what they are       identity, ingest, lookup.py,  time passes           tiers, upkeep, schedule.py
                        naming, ordering, series.py,  SQL                   query, shape, dialect, constants.py,
                        schema.py                                           functions/, listings, database, answer.py
    the log's frames    journal, catalog.py           reading rows          scan, selection, chosen.py
    memory, the tree    memory, standing,             not reading them      fused, folding, fold, cube, direct,
                        checkpoints.py                                      newest, ends.py, _native/tsfold.pyx
    opening, recovery   engine.py, streams.py         snapshots, Parquet    snapshots, unload.py
    lines to columns    _native/tslines.pyx           is it whole?          verify.py
    what lies where     layout, pictures.py           a block, by hand      describe, anatomy.py

Where we differ from Timestream
* One process writes, any number reads its checkpoints; nothing scales by itself. Tiers are two codecs in one folder:
  what the service does with machines is a move you can watch, at tick(). Nothing happens in the background.
* Time has nanoseconds and begins in 1970. 15 minutes ahead of the clock is the limit, as there.
* A call takes as many records as you like, not 100. A bad one is refused alone; the rest is written, as there.
* A record replaces another of the same identity if its version is higher, as a whole. Late rows are seen at once.
* Types do not bend: an int goes into a DOUBLE, nothing else into anything else.
* approx_percentile and approx_distinct are exact. NaN is the greatest number. UTC only.
* Splines are natural ones: the service does not say which it means.
* Scheduled queries run at tick(), each slot once in effect; no roles, no notifications, no reports in a bucket.
* Not here: encryption (leave it to the disk), partition keys of your own, several regions, months as an `every`.

Pitfalls: a row a call is a sync a call: write columns of thousands. A tile should hold a thousand rows of a series: at
one an hour take tile="30d", or headers outweigh values. A mean of hourly means is not the mean: keep sums and counts.
Empty bins do not appear: fill them with interpolate_* over sequence(). A dimension of a million values is a million
series. Rows past retention are hidden at once, but their bytes go with the whole tile. Nothing ages without tick().
Whole numbers of time are nanoseconds: seconds would be rows of January 1970, which the default retention accepts.
"""

from engines.timeseries.engine import TimeSeries
from engines.timeseries.objects import Series
from engines.timeseries.results import Rejected, RejectedRecords, WriteResult
from engines.timeseries.table import TimeTable

__all__ = ["Rejected", "RejectedRecords", "Series", "TimeSeries", "TimeTable", "WriteResult"]
