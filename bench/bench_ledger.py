"""The ledger: documents appended and committed durably, proofs made and checked, whole books audited.

What is compared is evidence. Ours gives a proof for every document and keeps its data redactable; SQLite with a chain
column shows that a row was changed, to whoever reads all rows; pymerkle proves, and stores its leaves in SQLite. The
textbook chain is in memory and proves nothing to anybody: the row is there because the course's claim is about such
chains. No network, no consensus and no blockchain framework is in this comparison.
"""

from concurrent.futures import ThreadPoolExecutor

import pytest
from adapters.ledger import BOOKS, COMMITTERS, IN_MEMORY, PROVERS, TREES, dumped
from race import Lane, counting, entrants, failing, group, race, report

BULK, MEMORY_BULK = "ledger [power-safe] append", "ledger [memory] append"
ONE, EIGHT = "ledger [power-safe] one document", "ledger [power-safe] one document, 8 threads"
BATCH = "ledger [power-safe] batch of 1,000"
TREE = "ledger [memory] hash tree"
PROVE, CHECK = "ledger [power-safe] prove", "ledger [power-safe] verify a proof"
CONSISTENT = "ledger [power-safe] prove consistency"
AUDIT = "ledger [power-safe] audit"
THREADS = 8


def vehicle(number):
    """A registration of about 190 bytes of JSON, nested once."""
    return {
        "VIN": f"1N4AL11D75C{number:06d}",
        "Type": ("Sedan", "Truck", "Motorcycle")[number % 3],
        "Year": 2000 + number % 24,
        "Make": ("Nissan", "Tesla", "Ford")[number * 7 % 3],
        "Model": f"Model {number % 40}",
        "Color": ("Silver", "Blue", "White", "Black")[number * 5 % 4],
        "Owner": {"GovId": f"LEWISR261L{number % 1000:03d}", "Name": "Raul Lewis"},
        "Plate": f"CA{number:07d}",
    }


def vehicles(count):
    return [vehicle(number) for number in range(count)]


def opened(kinds, request, folder, lanes):
    """The systems of a race, open; what cannot be opened fails alone."""
    books = {name: kinds[name]() for name in entrants(request)}
    made = []
    for name, book in books.items():
        mine = list(lanes(name, book))
        with failing(mine):
            book.open(folder / name.replace(", ", "-").replace(" ", "-"))
        made += mine
    return books, made


def closed(books, lanes, expected):
    for name, book in books.items():
        with failing(lane for lane in lanes if lane.system == name):
            assert book.count() == expected, f"{name} holds {book.count()} documents, not {expected}"
            book.close()


@pytest.fixture(scope="module")
def appended(request, scale, folder):
    documents = vehicles(scale.items)

    def lanes(name, book):
        yield Lane(BULK, name, len(documents), lambda _: book.append(documents))

    books, made = opened(BOOKS, request, folder / "bulk", lanes)
    rounds = min(scale.rounds, 5)
    raced = race(made, rounds)
    closed(books, made, len(documents) * (rounds + 1))
    return raced


@group(BULK)
@pytest.mark.parametrize("system", BOOKS)
def bench_append(benchmark, appended, system):
    report(benchmark, appended[BULK, system])


@pytest.fixture(scope="module")
def appended_in_memory(request, scale, folder):
    documents = vehicles(scale.items)

    def lanes(name, book):
        yield Lane(MEMORY_BULK, name, len(documents), lambda _: book.append(documents))

    books, made = opened(IN_MEMORY, request, folder / "memory", lanes)
    rounds = min(scale.rounds, 5)
    raced = race(made, rounds)
    closed(books, made, len(documents) * (rounds + 1))
    return raced


@group(MEMORY_BULK)
@pytest.mark.parametrize("system", IN_MEMORY)
def bench_append_in_memory(benchmark, appended_in_memory, system):
    report(benchmark, appended_in_memory[MEMORY_BULK, system])


@pytest.fixture(scope="module")
def committed(request, scale, folder):
    """One document a transaction, by one thread and by eight; and a thousand."""
    ones = [document | {"Note": "x" * 800} for document in vehicles(16 * scale.commits)]
    batch = vehicles(1000)
    with ThreadPoolExecutor(THREADS) as pool:

        def lanes(name, book):
            def alone(share):
                for document in share:
                    book.insert(document)

            shares = [ones[at::THREADS] for at in range(THREADS)]
            few = ones[: 2 * scale.commits]
            yield counting(Lane(ONE, name, len(few), lambda _: alone(few)), book.syncs, len(few))
            crowd = Lane(EIGHT, name, len(ones), lambda _: list(pool.map(alone, shares)), one_thread=False)
            yield counting(crowd, book.syncs, len(ones))
            yield Lane(BATCH, name, len(batch), lambda _: book.insert_many(batch))

        books, made = opened(COMMITTERS, request, folder / "commits", lanes)
        raced = race(made, scale.commit_rounds)
    closed(books, made, (scale.commit_rounds + 1) * (len(ones) + 2 * scale.commits + len(batch)))
    return raced


@group(ONE)
@pytest.mark.parametrize("system", COMMITTERS)
def bench_one(benchmark, committed, system):
    report(benchmark, committed[ONE, system])


@group(EIGHT)
@pytest.mark.parametrize("system", COMMITTERS)
def bench_one_8_threads(benchmark, committed, system):
    report(benchmark, committed[EIGHT, system])


@group(BATCH)
@pytest.mark.parametrize("system", COMMITTERS)
def bench_batch(benchmark, committed, system):
    report(benchmark, committed[BATCH, system])


@pytest.fixture(scope="module")
def hashed(request, scale):
    """A tree over the same entries, from nothing to its root; all agree on that."""
    entries = [dumped(document) for document in vehicles(scale.items)]
    roots = {}

    def lanes():
        for name in entrants(request):

            def run(tree):
                tree.extend(entries)
                return tree.root()

            def check(_, root, name=name):
                roots[name] = bytes(root)
                assert len(set(roots.values())) == 1, "the roots differ"

            yield Lane(TREE, name, len(entries), run, prepare=lambda _, name=name: TREES[name](), check=check)

    return race(lanes(), min(scale.rounds, 5))


@group(TREE)
@pytest.mark.parametrize("system", TREES)
def bench_tree(benchmark, hashed, system):
    report(benchmark, hashed[TREE, system])


@pytest.fixture(scope="module")
def proved(request, scale, folder):
    """Proofs from a book of ten times the items (a million at full scale, about)."""
    documents = vehicles(10 * scale.items)
    wanted = [number * 7919 % len(documents) for number in range(min(scale.operations, 500))]
    lanes = []
    provers = {}
    for name in entrants(request):
        prover = provers[name] = PROVERS[name]()
        proofs = []

        def made(_, found, proofs=proofs, prover=prover):
            proofs[:] = found
            assert all(map(prover.check, found[:20]))

        def checked(_, answers):
            assert all(answers)

        mine = [
            Lane(PROVE, name, len(wanted), lambda _, p=prover: [p.prove(at) for at in wanted], check=made),
            Lane(
                CHECK, name, len(wanted), lambda _, p=prover, s=proofs: [p.check(proof) for proof in s], check=checked
            ),
            Lane(CONSISTENT, name, 100, lambda _, p=prover: [p.consistency() for _ in range(100)]),
        ]
        with failing(mine):
            prover.fill(folder / "proofs" / name.replace(", ", "-"), documents)
        lanes += mine
    raced = race(sorted(lanes, key=lambda lane: [PROVE, CHECK, CONSISTENT].index(lane.group)), min(scale.rounds, 7))
    for prover in provers.values():
        prover.close()
    return raced


@group(PROVE)
@pytest.mark.parametrize("system", PROVERS)
def bench_prove(benchmark, proved, system):
    report(benchmark, proved[PROVE, system])


@group(CHECK)
@pytest.mark.parametrize("system", PROVERS)
def bench_check(benchmark, proved, system):
    report(benchmark, proved[CHECK, system])


@group(CONSISTENT)
@pytest.mark.parametrize("system", PROVERS)
def bench_consistency(benchmark, proved, system):
    report(benchmark, proved[CONSISTENT, system])


@pytest.fixture(scope="module")
def audited(request, scale, folder):
    documents = vehicles(2 * scale.items)

    def lanes(name, book):
        def right(_, count):
            assert count == len(documents)

        yield Lane(AUDIT, name, len(documents), lambda _: book.verify(), check=right)

    books, made = opened(COMMITTERS, request, folder / "audits", lanes)
    for book in books.values():
        book.append(documents)
    raced = race(made, min(scale.rounds, 5))
    closed(books, made, len(documents))
    return raced


@group(AUDIT)
@pytest.mark.parametrize("system", COMMITTERS)
def bench_audit(benchmark, audited, system):
    report(benchmark, audited[AUDIT, system])
