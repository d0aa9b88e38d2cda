"""warehouse: few questions over many rows, the class of Amazon Redshift, with Spectrum and Athena beside it.

    w = Warehouse("sales")
    w.sql("CREATE TABLE flights (day DATE, carrier CHAR(2), delay SMALLINT) DISTKEY(carrier) SORTKEY(day)")
    w.sql("COPY flights FROM 'flights/*.csv.gz' CSV GZIP IGNOREHEADER 1")      # or w.append("flights", arrow_table)
    w.sql("SELECT carrier, avg(delay::float) FROM flights WHERE day >= ? GROUP BY 1", date(2013, 7, 1))
    w.layout("flights"), w.explain(...), w.picture(...)                        # what lies where, what a query touched
    w.snapshot("monday"); Warehouse.restore(w, "monday", "sales-monday")
    Lake("files").sql("SELECT ... FROM flights WHERE year = 2013").price       # files where they lie, and the bill

    path/ENGINE, lock        whose folder it is; one process writes, any number reads
    path/refs/HEAD           the digest of the present root: replacing it is the commit
    path/refs/snapshot/X     the digest of a snapshot's record, which names another root
    path/blobs/ab/cdef...    never changed, named by what is in them
         root ──> page ──> group ──> segment: block | block | block ...    a block a column, up to 65,536 rows
                             └────> mask: which of its rows are deleted

The life of a query
    text ──> parse, bind ──> rewrite ──> pipelines                          engines/sql, kept with the text
    names ──> one root, for as long as it runs                              names, storage: readers never wait
    scan ──> zone maps leave out row groups ──> blocks are read, decoded    scan, predicates, codec, cache
    slices work side by side; joins on the DISTKEY move nothing             leader, node, motion
    the leader merges what slices have left ──> Result, with counters

The life of a row
    COPY, INSERT, append ──> checked, cast ──> slice by DISTKEY ──> sorted by SORTKEY ──> cut, encoded, put as a blob
    ──> page, root ──> HEAD.  DELETE is a mask, UPDATE a mask and new rows; VACUUM writes worn groups anew.

Where to read
    a user's warehouse   warehouse, session.py         a column as bytes    blocks, codec, encode*.py
    names, statements    names.py, statements/         lists of row groups  pages, segment.py
    what statements do   running, execute, dml,        loading rows         write, distribute, zorder.py
                         upkeep, rights, fitting.py    reading them         scan, predicates, cache.py
    COPY and UNLOAD      filing, load, unload.py,      kept answers         results.py
                         loading/, unloading/          append()             appending.py
    the catalogue        catalog.py                    commit and readers   commit, storage, stored.py
    who may read         access.py                     deleting, VACUUM     delete, vacuum.py
    leader and nodes     leader, node, motion.py       the past             snapshot.py
    files of others      external, lake.py             is it whole?         verify.py
    what it knows        system, statistics.py         pictures of it       layout, strips, grid, pictures.py
    kernels              _native/encodings, distribute, and those of engines/sql

Where we differ from Redshift
* Slices are threads of one process, or executors of engines.nodes; nodes share the folder, and do not talk to each
  other: what must move goes over the leader. An ALL table is stored once, not once a node.
* A row group of all columns is one file, not a file for each column and slice; a small INSERT is three files.
* Encodings: BITPACK, SCALED and SHUFFLE are ours; AZ64, LZO, MOSTLY* are taken as names of what does their work.
* A statement that fails leaves the transaction as it was; Redshift ends it. One writer at a time, others wait.
* ALTER TABLE ... SORTKEY or DISTKEY lays all rows anew, at once; Redshift does it in the background, bit by bit.
* PRIMARY KEY and FOREIGN KEY are accepted and not checked, as there. UNIQUE neither.
* No result cache unless you ask for it: a measurement should measure. No workload queues, no concurrency scaling.
* Users are names that a program gives to session(): they restrict what it hands on, they are no lock.
* Snapshots name roots: taking one copies nothing, and its price is what changes later. Redshift's are the same idea.

Pitfalls: a row at a time is the wrong way in: each INSERT is a commit with its syncs, whereas COPY and append make one
of millions. Without a SORTKEY every block holds everything, and nothing is left out. A DISTKEY with few values, or one
value that is everywhere, leaves slices idle (svv_table_info, skew_rows). SELECT * reads all columns: name those that
you need. VARCHAR(n) counts bytes. Deleted rows keep their bytes until VACUUM, and blobs until collect().
"""

from engines.warehouse.lake import Lake
from engines.warehouse.snapshot import AutoSnapshot, Snapshot
from engines.warehouse.warehouse import Warehouse

__all__ = ["AutoSnapshot", "Lake", "Snapshot", "Warehouse"]
