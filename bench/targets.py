"""What the project promises itself about speed: ratios of two rows of one run. Printed with each run, asserted in none.

A ratio says how many times faster `row` is than `against`: wall clock, minimum of the laps. Beside it stands the ratio
of the minima of CPU time of the calling thread, for rows that neither wait for the disk nor share the work.
"""

from dataclasses import dataclass

Place = tuple[str, str]  # group, system


@dataclass(frozen=True, slots=True)
class Target:
    what: str
    row: Place
    against: Place | None  # None: `wanted` is the longest time allowed, in seconds
    wanted: float
    cpu: bool = False  # the CPU ratio is worth printing too
    scale: str = ""  # the only scale at which it counts; "": any


TARGETS = (
    Target(
        "kv: reads, against RocksDB + ormsgpack",
        ("kv [process-safe] read", "engines"),
        ("kv [process-safe] read", "rocksdict"),
        1.7,
        cpu=True,
    ),
    Target(
        "kv: reads of dictionaries, against raw bytes from LMDB (at most twice the time)",
        ("kv [process-safe] read", "engines"),
        ("kv [process-safe] read", "lmdb"),
        0.5,
        cpu=True,
    ),
    Target(
        "kv: 50 % puts, change stream with both images, against RocksDB + ormsgpack",
        ("kv [process-safe] 50 % put", "engines"),
        ("kv [process-safe] 50 % put", "rocksdict"),
        1.2,
        cpu=True,
    ),
    Target(
        "kv: 50 % puts, change stream with both images, against SQLite + ormsgpack",
        ("kv [process-safe] 50 % put", "engines"),
        ("kv [process-safe] 50 % put", "sqlite"),
        6.0,
        cpu=True,
    ),
    Target(
        "kv: 50 % puts, the change stream costs at most a quarter",
        ("kv [process-safe] 50 % put", "engines"),
        ("kv [process-safe] 50 % put", "engines, no stream"),
        0.8,
        cpu=True,
    ),
    Target(
        "kv: batch_writer, a sync each 100 puts, against LMDB's raw bytes, a commit each 100 puts",
        ("kv [power-safe] batch of 100", "engines"),
        ("kv [power-safe] batch of 100", "lmdb"),
        0.8,
    ),
    Target(
        "kv: one durable put, against RocksDB's",
        ("kv [power-safe] put", "engines"),
        ("kv [power-safe] put", "rocksdict"),
        0.95,
    ),
    Target(
        "kv: durable commits a second, 16 threads against one",
        ("kv [power-safe] put, 16 threads", "engines"),
        ("kv [power-safe] put", "engines"),
        2.0,
    ),
    Target(
        "kv: an update by an expression, against a put of the same item (at most twice the time)",
        ("kv [process-safe] update by an expression", "engines"),
        ("kv [process-safe] put", "engines"),
        0.5,
        cpu=True,
    ),
    Target(
        "kv: a query of 100 items, against an LMDB cursor + ormsgpack (at most 1.3 times the time)",
        ("kv [process-safe] query of 100 items", "engines"),
        ("kv [process-safe] query of 100 items", "lmdb + ormsgpack"),
        0.77,
        cpu=True,
    ),
    Target(
        "kv: a query of 100 items, against RocksDB + ormsgpack",
        ("kv [process-safe] query of 100 items", "engines"),
        ("kv [process-safe] query of 100 items", "rocksdict"),
        1.2,
        cpu=True,
    ),
    Target(
        "kv: a scan whose filter lets 1 % pass, against decoding every item and filtering in Python",
        ("kv [process-safe] scan, 1 % passes", "engines"),
        ("kv [process-safe] scan, 1 % passes", "engines, filter in Python"),
        3.0,
        cpu=True,
    ),
    Target(
        "ground: a durable append to the Log, against LMDB's synchronous commit",
        ("ground [power-safe] append", "engines"),
        ("ground [power-safe] append", "lmdb"),
        1.4,
    ),
    Target(
        "ground: durable appends to the Log, 16 threads against one",
        ("ground [power-safe] append, 16 threads", "engines"),
        ("ground [power-safe] append", "engines"),
        2.0,
    ),
    Target(
        "ground: 50 % puts through Log and Tree, against LMDB with a commit a put",
        ("ground [process-safe] 50 % put", "engines"),
        ("ground [process-safe] 50 % put", "lmdb"),
        2.0,
        cpu=True,
    ),
    Target(
        "ground: the same with frames written 64 KB at a time, against LMDB with a commit a put",
        ("ground [memory] 50 % put", "engines"),
        ("ground [process-safe] 50 % put", "lmdb"),
        2.0,
        cpu=True,
    ),
    Target(
        "kv: opening after a kill, a million items, 50,000 records to replay",
        ("kv [process-safe] open after kill", "engines"),
        None,
        1.0,
        scale="full",
    ),
    Target(
        "kv: 200,000 expiries a second with stream records (5 us each), of a million items",
        ("kv [process-safe] expire", "engines"),
        None,
        5e-6,
        scale="full",
    ),
    Target(
        "kv: the 99th percentile of a reader's wait meanwhile",
        ("kv [process-safe] read while many expire, 99th percentile", "engines"),
        None,
        5e-3,
        scale="full",
    ),
    Target(
        "kv: a table of 100,000 items restored to a second",
        ("kv [process-safe] restore to a second", "engines"),
        None,
        2.0,
        scale="full",
    ),
    Target(
        "ground: opening Log and Tree after a kill, a million items, 50,000 records to replay",
        ("ground [process-safe] open after kill", "engines"),
        None,
        1.0,
        scale="full",
    ),
    Target(
        "cache: get, or set with a TTL of its own, against cachebox",
        ("cache [memory] get, set with a TTL on a miss", "engines"),
        ("cache [memory] get, set with a TTL on a miss", "cachebox VTTL"),
        1.0,
        cpu=True,
    ),
    Target(
        "cache: get, or set with a TTL, against cachetools",
        ("cache [memory] get, set with a TTL on a miss", "engines"),
        ("cache [memory] get, set with a TTL on a miss", "cachetools"),
        8.0,
        cpu=True,
    ),
    Target(
        "cache: get, or set on a miss, SIEVE against cachebox's LRU (at most 1.1 times)",
        ("cache [memory] get, set on a miss", "engines"),
        ("cache [memory] get, set on a miss", "cachebox"),
        0.91,
        cpu=True,
    ),
    Target(
        "cache: get, or set on a miss, LRU against cachebox's LRU (at most 1.1 times)",
        ("cache [memory] get, set on a miss", "engines, lru"),
        ("cache [memory] get, set on a miss", "cachebox"),
        0.91,
        cpu=True,
    ),
    Target(
        "cache: keys with a TTL set, against cachebox",
        ("cache [memory] set with a TTL, no limit", "engines"),
        ("cache [memory] set with a TTL, no limit", "cachebox VTTL"),
        1.0,
        cpu=True,
    ),
    Target(
        "cache: all of them expired, against cachebox",
        ("cache [memory] expire all", "engines"),
        ("cache [memory] expire all", "cachebox VTTL"),
        1.0,
        cpu=True,
    ),
    Target(
        "ledger: append, durable, a proof for each, against pymerkle on SQLite",
        ("ledger [power-safe] append", "engines"),
        ("ledger [power-safe] append", "pymerkle, sqlite"),
        2.0,
    ),
    Target(
        "ledger: append, durable, a proof for each, against SQLite with a chain of hashes",
        ("ledger [power-safe] append", "engines"),
        ("ledger [power-safe] append", "sqlite chain"),
        2.0,
    ),
    Target(
        "ledger: hash tree of bytes, against hashlib level by level",
        ("ledger [memory] hash tree", "engines"),
        ("ledger [memory] hash tree", "hashlib tree"),
        3.0,
        cpu=True,
    ),
    Target(
        "ledger: one document a transaction, 8 threads, against SQLite",
        ("ledger [power-safe] one document, 8 threads", "engines"),
        ("ledger [power-safe] one document, 8 threads", "sqlite chain"),
        1.5,
    ),
    Target(
        "ledger: one document a transaction, 8 threads against 1",
        ("ledger [power-safe] one document, 8 threads", "engines"),
        ("ledger [power-safe] one document", "engines"),
        1.3,
    ),
    Target(
        "ledger: transactions of 1,000 documents, against SQLite",
        ("ledger [power-safe] batch of 1,000", "engines"),
        ("ledger [power-safe] batch of 1,000", "sqlite chain"),
        1.3,
    ),
    Target(
        "ledger: a proof, against pymerkle on SQLite",
        ("ledger [power-safe] prove", "engines"),
        ("ledger [power-safe] prove", "pymerkle, sqlite"),
        10.0,
    ),
    Target(
        "ledger: a proof is verified, against pymerkle",
        ("ledger [power-safe] verify a proof", "engines"),
        ("ledger [power-safe] verify a proof", "pymerkle, sqlite"),
        1.0,
    ),
    Target(
        "ledger: a proof of consistency, at most 20 us",
        ("ledger [power-safe] prove consistency", "engines"),
        None,
        20e-6,
    ),
    Target(
        "ledger: an audit, at most 1.43 us a document (0.7 million a second)",
        ("ledger [power-safe] audit", "engines"),
        None,
        1.43e-6,
    ),
    Target(
        "warehouse: TPC-H Q1, one thread, against DuckDB",
        ("warehouse [memory] one thread, Q01", "engines"),
        ("warehouse [memory] one thread, Q01", "duckdb"),
        1.5,
        cpu=True,
        scale="full",
    ),
    Target(
        "warehouse: TPC-H Q6, one thread, against DuckDB",
        ("warehouse [memory] one thread, Q06", "engines"),
        ("warehouse [memory] one thread, Q06", "duckdb"),
        1.5,
        cpu=True,
        scale="full",
    ),
    Target(
        "warehouse: TPC-H Q6, one thread, against Polars with all threads",
        ("warehouse [memory] one thread, Q06", "engines"),
        ("warehouse [memory] one thread, Q06", "polars"),
        1.0,
        scale="full",
    ),
    Target(
        "warehouse: the 22 of TPC-H in a row, one thread, against DuckDB (at most 1.5 times the time)",
        ("warehouse [memory] one thread, the 22 in a row", "engines"),
        ("warehouse [memory] one thread, the 22 in a row", "duckdb"),
        0.67,
        cpu=True,
    ),
    Target(
        "warehouse: the 22 of TPC-H in a row, two slices against one",
        ("warehouse [memory] two threads, the 22 in a row", "engines"),
        ("warehouse [memory] one thread, the 22 in a row", "engines"),
        1.5,
        scale="full",
    ),
    Target(
        "warehouse: COPY of all of TPC-H from Parquet, against DuckDB's load",
        ("warehouse [power-safe] load from Parquet", "engines"),
        ("warehouse [power-safe] load from Parquet", "duckdb"),
        1.0,
    ),
    Target(
        "time series: by hour and host, ten metrics, against DuckDB",
        ("time series [memory] by hour and host, all metrics", "engines"),
        ("time series [memory] by hour and host, all metrics", "duckdb"),
        2.5,
        cpu=True,
        scale="full",
    ),
    Target(
        "time series: by hour and host, one metric, against DuckDB",
        ("time series [memory] by hour and host, 1 metric", "engines"),
        ("time series [memory] by hour and host, 1 metric", "duckdb"),
        10.0,
        cpu=True,
        scale="full",
    ),
    Target(
        "time series: one host, one metric, one hour, at most 0.1 ms",
        ("time series [memory] 1 host, 1 metric, 1 hour, by minute", "engines"),
        None,
        0.0001,
    ),
    Target(
        "time series: one host, one metric, one hour, against DuckDB",
        ("time series [memory] 1 host, 1 metric, 1 hour, by minute", "engines"),
        ("time series [memory] 1 host, 1 metric, 1 hour, by minute", "duckdb"),
        10.0,
        cpu=True,
    ),
    Target(
        "time series: one host, one metric, one hour, against SQLite",
        ("time series [memory] 1 host, 1 metric, 1 hour, by minute", "engines"),
        ("time series [memory] 1 host, 1 metric, 1 hour, by minute", "sqlite"),
        1.0,
        cpu=True,
    ),
    Target(
        "time series: the last row of each host, at most 1 ms",
        ("time series [memory] last row of each host", "engines"),
        None,
        0.001,
    ),
    Target(
        "time series: rows above 90, against DuckDB",
        ("time series [memory] rows above 90", "engines"),
        ("time series [memory] rows above 90", "duckdb"),
        1.0,
        cpu=True,
    ),
    Target(
        "time series: the last hour with a hundred times the history (at most 1.3 times the time)",
        ("time series [memory] last hour, long history", "engines"),
        ("time series [memory] last hour, short history", "engines"),
        0.77,
    ),
    Target(
        "time series: durable ingest of columns, against DuckDB",
        ("time series [power-safe] ingest of columns", "engines"),
        ("time series [power-safe] ingest of columns", "duckdb"),
        1.0,
    ),
    Target(
        "time series: a tenth of the rows late, against none (at most twice the time)",
        ("time series [power-safe] ingest, a tenth of the rows late", "engines"),
        ("time series [power-safe] ingest of columns", "engines"),
        0.5,
    ),
    Target(
        "time series: line protocol, at most 333 ns a point (3 million a second)",
        ("time series [power-safe] ingest of line protocol", "engines"),
        None,
        3.33e-07,
    ),
)
