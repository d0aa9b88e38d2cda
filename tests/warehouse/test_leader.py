"""One leader over threads, processes, Dask and Ray: where rows lie, and who reads them, changes no answer."""

import importlib.util
import os
import pickle
import signal
import threading
from collections import Counter
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from decimal import Decimal
from multiprocessing import get_context
from pathlib import Path

import pytest

from engines import nodes
from engines.errors import Invalid, QueryError
from engines.nodes import DeadlinePassed
from engines.sql.arrow import batch_of, schema_of
from engines.sql.engine import SQL
from engines.sql.explain import text_of
from engines.sql.front import prepare
from engines.sql.logical import Join
from engines.sql.run import Local
from engines.warehouse import node
from engines.warehouse.catalog import ColumnDefinition
from engines.warehouse.leader import Leader
from engines.warehouse.storage import Storage
from engines.warehouse.warehouse import Warehouse

np = pytest.importorskip("numpy")
pa = pytest.importorskip("pyarrow")
duckdb = pytest.importorskip("duckdb")

PLACED = {"orders": ("key", "id"), "lines": ("key", "order_id"), "places": ("all", None), "people": ("even", None)}


def data():
    """Four tables: orders and lines lie by the order's number, people anyhow, places everywhere."""
    random = np.random.default_rng(7)
    orders, lines, people = 140_000, 300_000, 135_000

    def some(below, count):
        return random.integers(0, below, count).astype(np.int32)

    days = np.datetime64("2024-01-01") + random.integers(0, 400, orders).astype("timedelta64[D]")
    return {
        "orders": pa.table(
            {
                "id": pa.array(random.permutation(orders).astype(np.int64)),
                "person": pa.array(some(people, orders), mask=random.random(orders) < 0.1),
                "day": pa.array(days),
                "status": pa.array(np.array(["open", "paid", "sent"])[random.integers(0, 3, orders)]),
            }
        ),
        "lines": pa.table(
            {
                "order_id": pa.array(some(orders * 5 // 4, lines), mask=random.random(lines) < 0.01),
                "quantity": pa.array(random.integers(1, 50, lines).astype(np.int16)),
                "price": pa.array([Decimal(int(n)) / 100 for n in some(99_999, lines)], pa.decimal128(12, 2)),
                "part": pa.array([f"part {n}" for n in random.integers(0, 2000, lines)]),
            }
        ),
        "people": pa.table(
            {
                "person": pa.array(np.arange(people, dtype=np.int32)),
                "name": pa.array([f"person {n % 5000}" for n in range(people)]),
                "place": pa.array(random.integers(0, 30, people).astype(np.int32)),
            }
        ),
        "places": pa.table({"place": np.arange(25, dtype=np.int32), "town": [f"town {n}" for n in range(25)]}),
    }


QUERIES = {
    "totals": "SELECT count(*), sum(quantity), min(price), max(part) FROM lines WHERE quantity < 30",
    "groups": "SELECT status, count(*), min(day) FROM orders GROUP BY status",
    "groups by the key": "SELECT order_id, sum(price) s FROM lines GROUP BY 1 ORDER BY s DESC, order_id LIMIT 20",
    "together": "SELECT status, sum(price), count(DISTINCT part) FROM orders JOIN lines ON id = order_id GROUP BY 1",
    "left": "SELECT count(*), count(part), sum(price) FROM orders LEFT JOIN lines ON id = order_id AND quantity > 40",
    "right": "SELECT count(id), sum(quantity) FROM orders RIGHT JOIN lines ON id = order_id AND status = 'open'",
    "full": "SELECT count(*), count(id), count(order_id) FROM orders FULL JOIN lines ON id = order_id",
    "exists": "SELECT count(*) FROM orders WHERE EXISTS (SELECT 1 FROM lines WHERE order_id = id AND quantity = 7)",
    "exists, the other way": "SELECT sum(price) FROM lines WHERE order_id IN "
    "(SELECT id FROM orders WHERE status = 'paid')",
    "none": "SELECT count(*) FROM orders o WHERE NOT EXISTS (SELECT 1 FROM lines l WHERE l.order_id = o.id)",
    "not in": "SELECT count(*) FROM lines WHERE order_id NOT IN (SELECT id FROM orders WHERE status = 'sent')",
    "not in, with NULL": "SELECT count(*) FROM orders WHERE id NOT IN (SELECT order_id FROM lines WHERE quantity = 3)",
    "not in, without": "SELECT count(*) FROM orders WHERE id NOT IN "
    "(SELECT order_id FROM lines WHERE quantity = 3 AND order_id IS NOT NULL)",
    "sent to its slice": "SELECT name, count(*), sum(price) FROM lines JOIN people ON order_id = person GROUP BY name",
    "sent to its slice, left": "SELECT count(*), count(name) FROM lines LEFT JOIN people ON order_id = person",
    "sent to its slice, right": "SELECT count(order_id), count(name) FROM lines RIGHT JOIN people ON order_id = person",
    "sent to its slice, full": "SELECT count(order_id), count(name) FROM lines FULL JOIN people ON order_id = person",
    "sent to its slice, none": "SELECT count(*), min(name) FROM people WHERE NOT EXISTS "
    "(SELECT 1 FROM lines WHERE order_id = person)",
    "sent to all": "SELECT name, count(*) c FROM orders JOIN people USING (person) GROUP BY name "
    "ORDER BY c DESC, name LIMIT 9",
    "sent, with leftovers": "SELECT count(*), count(id) FROM orders o RIGHT JOIN people p ON o.person = p.person",
    "three": "SELECT town, sum(price) FROM lines JOIN orders ON id = order_id "
    "JOIN people ON people.person = orders.person JOIN places ON places.place = people.place "
    "WHERE day < DATE '2024-06-01' GROUP BY town",
    "groups in a join": "SELECT status, count(*), sum(s) FROM orders JOIN (SELECT order_id, sum(price) s FROM lines "
    "GROUP BY order_id HAVING count(*) > 3) t ON t.order_id = id GROUP BY status",
    "a column of its own": "SELECT count(*) FROM lines l WHERE quantity > (SELECT avg(quantity) FROM lines m "
    "WHERE m.order_id = l.order_id)",
    "a name for two": "WITH big AS (SELECT * FROM lines WHERE quantity > 45) SELECT count(*), sum(a.price) FROM big a "
    "JOIN big b ON a.order_id = b.order_id AND a.part < b.part",
    "both": "SELECT count(*), sum(n) FROM (SELECT id n FROM orders UNION ALL SELECT order_id FROM lines) t",
    "no doubles": "SELECT count(*) FROM (SELECT person FROM orders INTERSECT "
    "SELECT person FROM people WHERE place < 3) t",
    "ranks": "SELECT sum(r) FROM (SELECT rank() OVER (PARTITION BY status ORDER BY day, id) r FROM orders) t",
    "sorted": "SELECT id FROM orders WHERE person IS NULL ORDER BY day DESC, id",
    "nothing": "SELECT count(*), sum(price) FROM lines JOIN orders ON id = order_id WHERE status = 'lost'",
}


class Tables:
    """The tables of a warehouse, as they are now."""

    def __init__(self, storage):
        self.storage = storage

    def find(self, parts):
        return self.storage.table(parts[-1]) if parts[-1] in self.storage.tables() else None

    def names(self):
        return self.storage.tables()


@pytest.fixture(autouse=True)
def few_rows_go_far(monkeypatch):
    monkeypatch.setattr("engines.warehouse.leader.FAR", 0)  # the tables here are small


@pytest.fixture(scope="module")
def tables():
    return data()


@pytest.fixture(scope="module")
def expected(tables):
    with duckdb.connect() as peer:
        for name, table in tables.items():
            peer.register(name, table)
        return {name: Counter(peer.execute(text).fetchall()) for name, text in QUERIES.items()}


@pytest.fixture(scope="module", params=[1, 2, 4])
def slices(request):
    return request.param


@pytest.fixture(scope="module")
def folders(tables, tmp_path_factory):
    made = {}

    def folder(slices):
        if slices not in made:
            path = str(tmp_path_factory.mktemp("leader") / "warehouse")
            with Storage(path, slices=slices) as storage:
                load(storage, tables)
            made[slices] = path
        return made[slices]

    return folder


def load(storage, tables):
    for name, table in tables.items():
        style, key = PLACED[name]
        columns = [ColumnDefinition(field.name, field.type, field.nullable) for field in schema_of(table.schema)]
        with storage.begin() as tx:
            tx.create_table(name, columns, style=style, key=key)
            tx.append(name, (batch_of(batch) for batch in table.to_batches(max_chunksize=65_536)))


@pytest.fixture
def two(folders):
    with Storage(folders(2), read_only=True) as storage:
        yield storage


def closing(made):
    yield made
    for one in made:
        one.shutdown()


@pytest.fixture(scope="module")
def processes():
    yield from closing(nodes.processes(2))


def over(storage, compute=None):
    return SQL(Tables(storage), runner=Leader(compute, storage))


def rows(found):
    return Counter(tuple(row) for row in found.rows())


def check(engine, expected):
    for name, text in QUERIES.items():
        assert rows(engine.query(text)) == expected[name], name


# ---- the same answers


def test_slices_in_threads_give_what_duckdb_gives(folders, slices, expected):
    with Storage(folders(slices), read_only=True) as storage:
        check(over(storage), expected)


def test_processes_give_what_duckdb_gives(folders, slices, processes, expected):
    with Storage(folders(slices), read_only=True) as storage:
        engine = over(storage, processes)
        check(engine, expected)
        assert (engine.runner.sent > 0) is (slices > 1)


def test_more_processes_than_slices_and_fewer(folders, expected):
    for count in (1, 3):
        for made in closing(nodes.processes(count)):
            with Storage(folders(2), read_only=True) as storage:
                check(over(storage, made), expected)


def test_an_executor_of_the_standard_library_is_a_node_for_each_of_its_workers(two, expected):
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
        engine = over(two, pool)
        assert engine.runner.nodes == 2
        assert rows(engine.query(QUERIES["three"])) == expected["three"]
        assert engine.runner.sent


@pytest.mark.parametrize("made", [lambda: nodes.threads(2), lambda: ThreadPoolExecutor(2)])
def test_executors_of_threads_are_threads_of_the_leader(two, expected, made):
    engine = over(two, made())
    assert rows(engine.query(QUERIES["three"])) == expected["three"]
    assert (engine.runner.nodes, engine.runner.sent) == (0, 0)


def test_few_rows_are_the_leaders_own(two, processes):
    engine = over(two, processes)
    assert rows(engine.query("SELECT count(*) FROM places")) == {(25,): 1}
    assert engine.runner.sent == 0


def test_parameters_travel(two, processes):
    local, far = SQL(Tables(two), runner=Local(1)), over(two, processes)
    text = "SELECT count(*) FROM lines WHERE quantity > ? AND part < :part AND price < ?"
    assert rows(far.query(text, 20, Decimal("55.5"), part="part 7")) == rows(
        local.query(text, 20, Decimal("55.5"), part="part 7")
    )
    assert far.runner.sent


# ---- what is not for nodes


def test_what_is_not_committed_is_read_by_the_leader(tables, processes, tmp_path):
    with Storage(tmp_path / "warehouse", slices=2) as storage:
        load(storage, {"orders": tables["orders"]})
        text = "SELECT count(*), min(id) FROM orders"
        with storage.begin() as tx:
            tx.append("orders", (batch_of(batch) for batch in tables["orders"].slice(0, 10).to_batches()))
            engine = SQL(Tables(tx), runner=Leader(processes, storage))
            assert rows(engine.query(text)) == {(140_010, 0): 1}
            assert engine.runner.sent == 0
        engine = over(storage, processes)
        assert rows(engine.query(text)) == {(140_010, 0): 1}
        assert engine.runner.sent


def test_a_warehouse_in_memory_has_its_slices_in_threads(tables, processes, expected):
    with Storage(slices=2) as storage:
        load(storage, tables)
        engine = over(storage, processes)
        check(engine, expected)
        assert engine.runner.sent == 0


@pytest.mark.parametrize("durability", ["interval", "checkpoint"])
def test_nodes_read_what_was_committed_though_it_is_not_on_disk_yet(tables, processes, tmp_path, durability):
    with Storage(tmp_path / "warehouse", slices=2, durability=durability) as storage:
        load(storage, {"orders": tables["orders"]})
        engine = over(storage, processes)
        for count in (140_010, 140_020):
            with storage.begin() as tx:
                tx.append("orders", (batch_of(batch) for batch in tables["orders"].slice(0, 10).to_batches()))
            assert rows(engine.query("SELECT count(*) FROM orders")) == {(count,): 1}
        assert engine.runner.sent


# ---- nodes that are lost


class Lame(Executor):
    def submit(self, fn, /, *args):
        future = Future()
        future.set_exception(ConnectionError("the worker is gone"))
        return future


class Alone(Executor):
    """It does its task in the calling thread, through pickles as a remote one would. `tasks`: what it was given."""

    def __init__(self):
        self.tasks = []

    def submit(self, fn, /, *args):
        self.tasks.append(args[1])  # of nodes' own function: (work, arguments)
        future = Future()
        future.set_result(pickle.loads(pickle.dumps(fn(*args))))  # noqa: S301 - our own
        return future


def test_a_lost_nodes_slices_go_to_another_one(two, expected):
    engine = over(two, [Lame(), Alone()])
    check(engine, expected)
    assert engine.runner.sent


def test_when_no_node_is_left_the_leader_does_it(two, expected):
    engine = over(two, [Lame(), Lame()])
    check(engine, expected)
    assert engine.runner.sent == 0
    assert "the worker is gone" in engine.query(QUERIES["totals"]).stats["nodes_lost"][0]


def stopped_then_killed(two, made, pids, text, expected):
    """A worker is stopped, gets its task, and is killed before it can answer."""
    engine = over(two, made)
    assert rows(engine.query(text)) == expected
    os.kill(pids[1], signal.SIGSTOP)
    found = []
    asking = threading.Thread(target=lambda: found.append(rows(engine.query(text))))
    asking.start()
    asking.join(0.3)
    assert not found, "it waits for the stopped one"
    os.kill(pids[1], signal.SIGKILL)
    asking.join(60)
    assert found == [expected]
    assert rows(engine.query(text)) == expected


def test_a_process_killed_in_mid_query_changes_no_answer(two, expected):
    for made in closing(nodes.processes(2)):
        pids = [one.submit(os.getpid).result() for one in made]
        stopped_then_killed(two, made, pids, QUERIES["three"], expected["three"])


def test_a_broken_pool_is_no_loss(two, expected):
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        engine = over(two, pool)
        assert rows(engine.query(QUERIES["three"])) == expected["three"]
        sent = engine.runner.sent
        os.kill(pool.submit(os.getpid).result(), signal.SIGKILL)
        assert rows(engine.query(QUERIES["three"])) == expected["three"]
        assert engine.runner.sent == sent, "the leader did it"


@pytest.fixture
def importable(monkeypatch):
    """Workers of Dask and Ray find the engines where this process has found them."""
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2]), prepend=os.pathsep)


@pytest.mark.filterwarnings("ignore")  # theirs, of ports and of what is deprecated
@pytest.mark.skipif(not importlib.util.find_spec("distributed"), reason="needs the extra [dask]")
def test_a_dask_worker_killed_in_mid_query_changes_no_answer(importable, two, expected):
    for made in closing(nodes.dask(2)):
        check(over(two, made), expected)
        pids = [one.submit(os.getpid).result() for one in made]
        stopped_then_killed(two, made, pids, QUERIES["three"], expected["three"])


@pytest.mark.filterwarnings("ignore")  # theirs
@pytest.mark.skipif(not importlib.util.find_spec("ray"), reason="needs the extra [ray]")
def test_a_ray_actor_killed_in_mid_query_changes_no_answer(importable, two, expected):
    for made in closing(nodes.ray(2)):
        check(over(two, made), expected)
        pids = [one.submit(os.getpid).result() for one in made]
        stopped_then_killed(two, made, pids, QUERIES["three"], expected["three"])


# ---- errors


def test_an_error_of_the_query_comes_back_as_it_is_here(two, processes):
    text = "SELECT sum(1 / (quantity - 7)) FROM lines"
    with pytest.raises(QueryError) as here:
        SQL(Tables(two), runner=Local(1)).query(text)
    for compute in (None, processes):
        engine = over(two, compute)
        with pytest.raises(QueryError) as caught:
            engine.query(text)
        assert str(caught.value) == str(here.value)
        assert (caught.value.line, caught.value.column) == (here.value.line, here.value.column)
        assert rows(engine.query("SELECT count(*) FROM orders")) == {(140_000,): 1}


def test_a_query_that_takes_too_long_is_stopped_on_its_nodes(two, processes):
    text = "SELECT count(*) FROM lines a JOIN lines b ON a.price < b.price"  # 45 billion pairs: it never ends by itself
    for compute in (None, processes):
        engine = over(two, compute)
        engine.query("SELECT count(*) FROM orders")
        with pytest.raises(DeadlinePassed):
            engine.query(text, timeout=0.2)
        assert rows(engine.query("SELECT count(*) FROM orders")) == {(140_000,): 1}


@pytest.fixture
def interruptible():
    """Ctrl-C raises KeyboardInterrupt, also where the tests run behind an ampersand: shells have it ignored there."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("interruptible")
def test_ctrl_c_stops_a_query_and_its_nodes_serve_on(two, processes):
    text = "SELECT count(*) FROM lines a JOIN lines b ON a.price < b.price"  # 45 billion pairs: it never ends by itself
    for compute in (None, processes):
        engine = over(two, compute)
        engine.query("SELECT count(*) FROM orders")
        alarm = threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGINT))
        alarm.start()
        with pytest.raises(KeyboardInterrupt):
            engine.query(text, timeout=60)
        alarm.join()
        assert rows(engine.query("SELECT count(*) FROM orders")) == {(140_000,): 1}


@pytest.mark.parametrize("wrong", [0, True, [], [1], "ab"])
def test_nodes_are_a_number_or_executors(two, wrong):
    with pytest.raises(Invalid, match="nodes is a number from 1, or"):
        Leader(wrong, two)


# ---- what moves


def moves(engine, text):
    """The label of each join by its keys, the rows that the leader expects to move, and those that did."""
    statement = next(iter(prepare(text, engine.catalog, engine.dialect, (), {}, cache=engine.cache)))
    program = engine.program_of(statement)
    found, joins, waiting = {}, {}, [program.query.plan]
    for pipeline in program.pipelines:
        for branch in pipeline.branches:
            waiting += branch.plans
    joins = {id(plan): plan for plan in waiting if isinstance(plan, Join)}
    for number, move in engine.runner.moves(program, engine.source).items():
        key = " and ".join(sorted(text_of(one).removesuffix("::BIGINT") for pair in joins[number].keys for one in pair))
        found[key] = move.label, move.rows
    stats = engine.query(text).stats
    return found, stats["rows_moved"], stats["bytes_moved"]


@pytest.mark.parametrize("kind", ["JOIN", "LEFT JOIN", "RIGHT JOIN", "FULL JOIN"])
def test_tables_that_lie_by_the_key_of_a_join_move_nothing(two, processes, kind):
    text = f"SELECT count(*), sum(quantity) FROM orders {kind} lines ON id = order_id"
    for compute in (None, processes):
        assert moves(over(two, compute), text) == ({"id and order_id": ("DS_DIST_NONE", 0)}, 0, 0)


def test_what_every_node_can_read_moves_nothing(two, processes):
    text = "SELECT town, count(*) FROM people JOIN places USING (place) GROUP BY town"
    for compute in (None, processes):
        assert moves(over(two, compute), text) == ({"place and place": ("DS_DIST_ALL_NONE", 0)}, 0, 0)


def test_groups_by_the_key_stay_where_they_are(two, processes):
    for compute in (None, processes):
        found, moved, size = moves(over(two, compute), QUERIES["groups in a join"])
        assert found == {"id and order_id": ("DS_DIST_NONE", 0)}
        assert (moved, size) == (0, 0)


def test_a_table_that_is_sent_goes_to_every_other_slice(folders):
    text = "SELECT count(*), min(name) FROM lines JOIN people ON quantity = people.person"
    for slices in (2, 4):
        with Storage(folders(slices), read_only=True) as storage:
            found, moved, size = moves(over(storage), text)
            ((label, rows),) = found.values()
            assert label == "DS_BCAST_INNER"
            assert rows == moved == 135_000 * (slices - 1)
            assert size > 4 * moved


def test_a_table_that_is_sent_to_processes_goes_to_each_of_them_once(two, processes):
    text = "SELECT count(*), min(name) FROM lines JOIN people ON quantity = people.person WHERE name < 'person 2'"
    engine = over(two, processes)
    count = engine.query("SELECT count(*) FROM people WHERE name < 'person 2'").rows()[0][0]
    found, moved, size = moves(engine, text)
    assert [label for label, _ in found.values()] == ["DS_BCAST_INNER"]
    assert moved == 2 * count
    assert size > 4 * moved


@pytest.mark.parametrize("kind", ["JOIN", "LEFT JOIN", "RIGHT JOIN", "FULL JOIN"])
def test_many_rows_are_sent_to_the_slices_of_their_key(two, processes, kind):
    text = f"SELECT count(*), min(name) FROM lines {kind} people ON order_id = person"
    for compute in (None, processes):
        engine = over(two, compute)
        found, moved, size = moves(engine, text)
        assert found == {"order_id and person": ("DS_DIST_INNER", 135_000)}
        assert moved == 135_000
        assert size > 4 * moved


def test_what_is_small_beside_the_table_that_it_meets_is_made_by_the_node_itself(two):
    text = "SELECT name, count(*) FROM lines JOIN people ON quantity = person GROUP BY name"
    for made in closing(nodes.processes(1)):
        engine = over(two, made)
        assert moves(engine, text) == ({"person and quantity::INTEGER": ("DS_BCAST_INNER", 0)}, 0, 0)
        assert engine.runner.sent
        assert rows(engine.query(text)) == rows(over(two).query(text))


def test_what_is_not_worth_a_task_is_the_leaders_own(two, processes, monkeypatch):
    engine = over(two, processes)
    assert len(rows(engine.query("SELECT part, quantity, price, 1 FROM lines GROUP BY 1, 2, 3"))) > 290_000
    assert engine.runner.sent == 0  # each node would leave nearly all that it has read
    for far in (300_001, 300_000):
        monkeypatch.setattr("engines.warehouse.leader.FAR", far)
        assert rows(engine.query("SELECT count(*) FROM lines")) == {(300_000,): 1}
        assert (engine.runner.sent > 0) is (far == 300_000)


def test_one_slice_has_nobody_to_send_to(folders):
    with Storage(folders(1), read_only=True) as storage:
        assert moves(over(storage), QUERIES["sent to all"])[1:] == (0, 0)


def test_a_key_that_is_computed_is_no_distribution_key(two):
    found, moved, _ = moves(over(two), "SELECT count(*) FROM orders JOIN lines ON id = order_id + 1")
    assert [label for label, _ in found.values()] == ["DS_BCAST_INNER"]
    assert moved


def test_explain_says_what_a_join_moves(two):
    engine = over(two)
    plan = str(engine.explain("SELECT count(*) FROM lines JOIN people ON quantity = people.person"))
    assert "DS_BCAST_INNER; inner, " in plan
    assert "rows_moved_estimated 135,000" in plan.replace("=", " ")
    assert "DS_DIST_NONE; inner, " in str(engine.explain(QUERIES["together"], analyze=True))
    local = SQL(Tables(two), runner=Local(2))
    assert "DS_" not in str(local.explain(QUERIES["together"]))


def test_a_warehouse_has_nodes(tables, processes, tmp_path):
    for number, compute in enumerate((2, processes)):
        with Warehouse(tmp_path / str(number), nodes=compute, slices=1) as warehouse:
            warehouse.sql("CREATE TABLE orders (id BIGINT, person INT, day DATE, status VARCHAR(9)) DISTKEY (id)")
            warehouse.sql("CREATE TABLE lines (order_id INT, quantity INT, price DECIMAL(12, 2), part VARCHAR(20)) "
                          "DISTKEY (order_id)")  # fmt: skip
            warehouse.append("orders", tables["orders"])
            warehouse.append("lines", tables["lines"])
            assert "DS_DIST_NONE" in str(warehouse.explain(QUERIES["together"]))
            stats = warehouse.sql(QUERIES["together"]).stats
            assert (stats["rows_moved"], stats["bytes_moved"]) == (0, 0)
            assert (warehouse.leader.sent > 0) is (compute is processes)
            with warehouse.transaction() as tx:
                tx.sql("DELETE FROM lines WHERE order_id = 5 OR order_id IS NULL")
                assert tx.sql("SELECT count(*) n FROM lines WHERE order_id = 5").rows()[0].n == 0
            assert warehouse.sql("SELECT count(*) n FROM lines WHERE order_id IS NULL").rows()[0].n == 0
            with pytest.raises(QueryError, match="division by zero"):
                warehouse.sql("SELECT sum(1 / (quantity - quantity)) FROM lines")
            assert warehouse.sql("SELECT count(*) n FROM stl_query WHERE lost_nodes <> ''").rows()[0].n == 0


def test_a_lost_node_is_in_the_log_of_queries(tables, tmp_path):
    with Warehouse(tmp_path / "warehouse", nodes=[Lame(), Alone()], slices=1) as warehouse:
        warehouse.sql("CREATE TABLE orders (id BIGINT, person INT, day DATE, status VARCHAR(9))")
        warehouse.append("orders", tables["orders"])
        assert warehouse.sql("SELECT count(*) n FROM orders").rows()[0].n == 140_000
        found = warehouse.sql("SELECT lost_nodes FROM stl_query WHERE lost_nodes <> ''").rows()
        assert [row.lost_nodes for row in found] == ["node 0: ConnectionError the worker is gone"]


# ---- what nodes keep


def test_a_node_reads_the_root_that_its_task_names(tables, tmp_path):
    alone = Alone()
    with Storage(tmp_path / "warehouse", slices=2) as storage:
        load(storage, {"orders": tables["orders"]})
        engine = over(storage, [alone])
        text = "SELECT count(*) FROM orders"
        assert rows(engine.query(text)) == {(140_000,): 1}
        before = alone.tasks[0]
        with storage.begin() as tx:
            tx.append("orders", (batch_of(batch) for batch in tables["orders"].slice(0, 5).to_batches()))
        assert rows(engine.query(text)) == {(140_005,): 1}
        done = pickle.loads(node.run(*before)[1])  # noqa: S301 - our own
        assert done.states[0].rows[0] == 140_000
    node.FOLDERS.close()
