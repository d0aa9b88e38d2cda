"""The process that test_lmdb.py traces: one LMDB transaction after the other, each announced when it is acknowledged.

Run: python lmdb_writer.py FOLDER MODE COUNT
"""

import os
import sys

import lmdb

OPTIONS = {"lib_version": 1, "map_size": 1 << 24, "max_dbs": 8}  # as the Tree opens it
MODES = {"sync": {}, "no sync": {"sync": False}, "no metasync": {"metasync": False}}


def value(number: int) -> bytes:
    return b"%d-" % number + bytes([65 + number]) * 1_500


def main(folder: str, mode: str, count: int) -> None:
    environment = lmdb.open(folder, **OPTIONS, **MODES[mode])
    for number in range(count):
        with environment.begin(write=True) as transaction:
            transaction.put(b"key %d" % (number % 5), value(number))
            transaction.put(b"key %d" % ((number + 2) % 5), value(number))
            transaction.put(b"last", b"%d" % number)
        os.write(1, b"ACK %d\n" % number)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
