"""The process that judges images of an LMDB file, each in a child of its own: a corrupt one may kill it.

Reads lines `FOLDER ACKNOWLEDGED`, ACKNOWLEDGED the number of the last acknowledged transaction or -1; answers each with
a line: ok, or what is wrong. LMDB names its errors, a child that was killed is `signal N`.
"""

import os
import sys

import lmdb
from lmdb_writer import OPTIONS, value


def judge(folder: str, acknowledged: int) -> str:
    try:
        environment = lmdb.open(folder, lock=False, **OPTIONS)
        with environment.begin() as transaction:
            last = int(transaction.get(b"last") or -1)
            if last < acknowledged:
                return "an acknowledged transaction is lost"
            expected = {}
            for number in range(last + 1):
                expected[b"key %d" % (number % 5)] = expected[b"key %d" % ((number + 2) % 5)] = value(number)
            if last >= 0:
                expected[b"last"] = b"%d" % last
            if dict(transaction.cursor()) != expected:
                return "a torn transaction"
        with environment.begin(write=True) as transaction:
            transaction.put(b"after", value(0))
        environment.close()
        environment = lmdb.open(folder, lock=False, **OPTIONS)
        with environment.begin() as transaction:
            if dict(transaction.cursor()) != {**expected, b"after": value(0)}:
                return "the second recovery finds something else"
    except lmdb.Error as error:
        return type(error).__name__
    return "ok"


def main() -> None:
    for line in sys.stdin:
        folder, acknowledged = line.rsplit(" ", 1)
        answer, report = os.pipe()
        child = os.fork()
        if child == 0:
            os.write(report, judge(folder, int(acknowledged)).encode())
            os._exit(0)
        os.close(report)
        verdict = os.read(answer, 1000).decode()
        os.close(answer)
        status = os.waitpid(child, 0)[1]
        print(f"signal {os.WTERMSIG(status)}" if os.WIFSIGNALED(status) else verdict, flush=True)  # noqa: T201 - the answer


if __name__ == "__main__":
    main()
