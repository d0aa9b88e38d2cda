"""The processes that test_kill.py kills: each opens a store, says what it found, and writes until it is shot.

Run: python killed.py ENGINE DURABILITY FOLDER. For each line of its input it forks one process, which says

    BORN pid          FOUND n, the store holds writes 1 to n, or WRONG and why         ACK i, after each write

and `DEAD status` when that one is gone. Forking is cheap: the imports are paid for once.
"""

import importlib
import os
import sys
from itertools import count
from typing import Any

from engines.storage.log import Log

KEYS = 40


def payload(number: int) -> bytes:
    return b"%06d:" % number + bytes([65 + number % 26]) * (number * 37 % 900)


def say(text: str) -> None:
    os.write(1, f"{text}\n".encode())


def log(folder: str, durability: str) -> None:
    store = Log(folder, segment=16_384, durability=durability)
    found = [bytes(frame.payload) for frame in store.read()]
    if found != [payload(number) for number in range(1, len(found) + 1)]:
        say("WRONG payloads")
    say(f"FOUND {len(found)}")
    for number in count(len(found) + 1):
        store.acknowledge(store.append(payload(number)))
        say(f"ACK {number}")


def kv(folder: str, durability: str) -> None:
    from engines.kv import Check, Put, Store  # noqa: PLC0415 - the log is killed without it

    store = Store(folder, durability=durability)
    table = store.table("numbers") if "numbers" in store.tables() else create(store)
    found = {int(item["id"]): item for item in table.scan()}
    last = max((int(item["number"]) for item in found.values()), default=0)
    for number in range(max(1, last - KEYS + 1), last + 1):
        item = found.get(number % KEYS, {})
        if item.get("number") != number or item.get("text") != payload(number).decode():
            say(f"WRONG item {number}")
    if len(found) != min(last, KEYS):
        say(f"WRONG number of items: {len(found)} after {last} writes")
    if {item["id"]: item["number"] for item in table.scan(index="by_half")} != {i: found[i]["number"] for i in found}:
        say(f"WRONG index after {last} writes")
    told = {change.key[0]: change.new["number"] for change in table.changes() if change.new}
    if told != {i: found[i]["number"] for i in found}:
        say(f"WRONG change stream after {last} writes")
    say(f"FOUND {last}")
    for number in count(last + 1):
        item = {"id": number % KEYS, "half": number % 2, "number": number, "text": payload(number).decode()}
        if number % 3:
            table.put(item)
        else:
            store.transact([Put("numbers", item), Check("numbers", -1, condition="attribute_not_exists(id)")])
        if number % 200 == 0:
            store.checkpoint()
        say(f"ACK {number}")


def ledger(folder: str, durability: str) -> None:
    from engines.ledger import Ledger  # noqa: PLC0415 - as above

    book = Ledger(folder, durability=durability)
    if not len(book.tables()):
        book.create_table("T", indexes=["n"])
    found = sorted(value["n"] for value in book.execute("SELECT * FROM T"))
    last = found[-1] if found else 0
    if found != list(range(1, last + 1)):
        say(f"WRONG documents: {len(found)} of {last}")
    if last and len(book.execute("SELECT * FROM T AS t WHERE t.n = ?", last)) != 1:
        say(f"WRONG index after {last} writes")
    if not book.verify().ok:
        say(f"WRONG audit: {book.verify()}")
    say(f"FOUND {last}")
    for number in count(last + 1):
        with book.transaction() as tx:
            tx.insert("T", {"n": number, "text": payload(number).decode()})
        if number % 100 == 0:
            book.checkpoint()
        say(f"ACK {number}")


def warehouse(folder: str, durability: str) -> None:
    from warehouse.columns import batch, definitions, rows_of  # noqa: PLC0415

    from engines.sql.types import INTEGER, VARCHAR  # noqa: PLC0415 - as above
    from engines.warehouse.storage import Storage  # noqa: PLC0415

    storage, columns = Storage(folder, durability=durability), definitions(n=INTEGER, text=VARCHAR)
    if "numbers" not in storage.tables():
        with storage.begin() as transaction:
            transaction.create_table("numbers", columns, sort=["n"])
    found = sorted(rows_of(storage.table("numbers")))
    last = found[-1][0] if found else 0
    if found != [(number, payload(number)) for number in range(max(last - KEYS, 0) + 1, last + 1)]:
        say(f"WRONG rows: {len(found)} after {last} writes")
    say(f"FOUND {last}")
    for number in count(last + 1):
        with storage.begin() as transaction:
            transaction.append("numbers", [batch(columns, [(number, payload(number))])])
            old = [
                row for n, row in rows_of(transaction.table("numbers").numbered(), "n", "$row") if n <= number - KEYS
            ]
            transaction.delete("numbers", old)
            if number % 50 == 0:
                transaction.vacuum("numbers")
        if number % 30 == 0:
            storage.collect(grace=0)
        say(f"ACK {number}")


def timeseries(folder: str, durability: str) -> None:
    from timeseries.written import held  # noqa: PLC0415 - as above

    from engines.clock import ManualClock  # noqa: PLC0415
    from engines.timeseries import TimeSeries  # noqa: PLC0415

    store = TimeSeries(folder, clock=ManualClock(10**12), durability=durability)
    if "numbers" not in store.tables():
        store.create_table("numbers", memory="1h", tile="1m")
    table = store.table("numbers")
    found = {key[3] // 10**9: values for key, values in held(table).items()}
    last = len(found)
    texts = {second: {"text": ("varchar", payload(second + 1).decode())} for second in range(last)}
    if found != texts:
        say(f"WRONG rows: {last} of {max(found, default=-1) + 1}")
    told = sum(1 for change in store.changes() if change.kind == "INSERT")
    if told != last:
        say(f"WRONG change stream: {told} changes after {last} writes")
    say(f"FOUND {last}")
    for number in count(last + 1):
        table.write((number - 1) * 10**9, {"host": "a"}, {"text": payload(number).decode()})
        if number % 60 == 0:
            store.checkpoint()
        if number % 150 == 0:
            store.tick()
        say(f"ACK {number}")


def create(store: Any) -> Any:
    half = {"name": "by_half", "key": ("half:N", "number:N"), "projection": "KEYS_ONLY"}
    return store.create_table("numbers", key="id:N", stream=True, indexes=[half])


def main(engine: str, durability: str, folder: str) -> None:
    run = {"log": log, "kv": kv, "ledger": ledger, "warehouse": warehouse, "timeseries": timeseries}[engine]
    if engine == "warehouse":  # imports that take longer than the child may live
        importlib.import_module("warehouse.columns")
        importlib.import_module("engines.warehouse.storage")
    if engine == "timeseries":
        importlib.import_module("timeseries.written")
        importlib.import_module("engines.timeseries")
    for _ in sys.stdin:
        child = os.fork()
        if child == 0:
            say(f"BORN {os.getpid()}")
            try:
                run(folder, durability)
            except BaseException as error:  # noqa: BLE001 - the test wants to read of it
                say(f"WRONG {type(error).__name__}: {error}")
            os._exit(1)
        say(f"DEAD {os.waitpid(child, 0)[1]}")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3])
