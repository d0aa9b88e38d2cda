"""Floor 2: one SQL front end and one set of column operators, for every engine that speaks SQL. It knows no engine.

    db = SQL(MemoryCatalog({"flights": arrow_table}))                         engine.py: all that a test needs
    db.query("SELECT carrier, count(*) FROM flights WHERE delay > ? GROUP BY 1", 60)

An engine passes a catalogue (name -> TableSource), a Dialect (further functions, statements, rules), and if slices are
not to be threads of this process, a Runner.

The life of a SELECT
    text ──> tokens ──> syntax tree                  grammar.py: sqlglot, no more than its grammar
    syntax tree ──> Query                            binder/: names, types, ids; then sqlglot is gone
    Query ──> Query that runs well                   rewrite/: one function a rule, the list of rules is the optimizer
    Query ──> Program                                lower.py: pipelines; no values, no data: kept with the text
    Program ──> Collected                            run.py: each pipeline over slices, side by side (work.py)
    Collected ──> Result                             result.py: a Table that is columns until somebody looks

    one pipeline, one slice:      partition ── Batch ──> step ── Batch ──> step ── Batch ──> sink
                                  scan                   filter            probe             groups, sort, build side

What flows is a Batch: up to 65,536 rows of Columns by id. Numbers are narrow and have a base, text is codes of a
dictionary as long as that is possible, and filters and joins leave positions instead of moving data. So Python works
a few microseconds a batch, kernels work on dense arrays without the GIL, and no Python looks at a row; numbers that
64 bits do not hold are the exception.

Where to read
    what is handed on     types, column, source, logical, operators, program, context.py: read these first
    text to plan          front, grammar, dialect.py, binder/      a better plan       rewrite/
    plan to pipelines     lower.py                                 running them        run, work, coalesce.py
    where batches start   scan.py                                  steps               steps, unnest.py
    expressions           expressions, evaluation, condition.py    once a word         wordwise.py
    what nodes compute    arithmetic, comparisons, logic, branches, casts, castwords, intervals.py, functions/
    GROUP BY              aggregate, groups, calls.py              its totals          totals, moments, gathered.py
    joins                 join, joinfilter, nestedloop.py          pairs of a join     candidates.py
    keys to numbers       keys, keyindex, interner.py              plans inside plans  nested.py
    order                 sort, ordering, limit.py                 UNION and its kin   setops.py
    windows               window*, frames.py                       kept rows           collected, concatenate.py
    values in and out     values, arrow, texts, result.py          EXPLAIN             explain.py
    tables of others      sources, sample, arrays, documents.py    files as tables     datasets, datafiles, file*.py
    kernels, _native/     vector, strings: values moved   arithmetic, compare, dates, textsearch: expressions
                          numbering, group, sums: keys and groups   hashjoin   sortkeys, windows: order

Words that mean two things: a Program is a lowered plan (program.py), or the expressions of one step (expressions.py).
A Column is an array (column.py), or a name in sight (binder/scopes.py). A Result is an answer (result.py), or the
source that reads an earlier pipeline (scan.py). A Plan is the logical one (logical.py), or what EXPLAIN draws
(engines.display). moments.py is variance and its kin; functions/moments.py is points in time.

Simpler than production: one process plans, plans have no alternatives at run time, operators hold what they hold in
memory (`memory=` bounds it: an error, nothing spills), and no code is compiled for a query.

Invariants: the rows of an answer do not depend on which thread was faster. Names are resolved once, in the binder. An
operator that keeps state assumes no layout of its batches: base, width and dictionary may differ from one to the next.
"""
