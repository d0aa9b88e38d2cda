"""A small maker of QLDB journals, as the developer guide and the sample verifier describe them. Only hashlib.

Documents are plain Python: dict, list, str, int, bool, None, Decimal, bytes, datetime (UTC, milliseconds). For each it
writes Ion text, Ion binary, and the Ion hash.
"""

import base64
import hashlib
import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal

STRAND = "4o5UuzWSW5PIoOGm5jPA6J"


def sha(data):
    return hashlib.sha256(data).digest()


# -- Ion hash ---------------------------------------------------------------------------------------------------------


def frame(kind, data):
    for special in (b"\x0c", b"\x0b", b"\x0e"):
        data = data.replace(special, b"\x0c" + special)
    return b"\x0b" + bytes([kind]) + data + b"\x0e"


def int_bytes(value):
    return value.to_bytes((value.bit_length() + 7) // 8, "big")


def decimal_bytes(value):
    sign, digits, exponent = value.as_tuple()
    coefficient = int_bytes(int("".join(map(str, digits))))
    if coefficient and coefficient[0] > 127:
        coefficient = b"\0" + coefficient
    if sign:
        coefficient = bytes([coefficient[0] | 128]) + coefficient[1:]
    return bytes([128 | (64 if exponent < 0 else 0) | abs(exponent)]) + coefficient


def time_bytes(value):
    year = bytes([value.year >> 7, value.year & 127 | 128])
    rest = bytes(128 | part for part in (value.month, value.day, value.hour, value.minute, value.second))
    milliseconds = int_bytes(value.microsecond // 1000)
    if milliseconds and milliseconds[0] > 127:
        milliseconds = b"\0" + milliseconds
    return b"\x80" + year + rest + b"\xc3" + milliseconds


def scalar(value):  # noqa: PLR0911 - a line for each type
    """The type's code and the bytes of its representation."""
    match value:
        case bool():
            return 0x10 + value, b""
        case int():
            return (0x30 if value < 0 else 0x20), int_bytes(abs(value))
        case Decimal():
            return 0x50, decimal_bytes(value)
        case datetime():
            return 0x60, time_bytes(value)
        case str():
            return 0x80, value.encode()
        case bytes():
            return 0xA0, value
        case None:
            return 0x0F, b""
    raise TypeError(value)


def serialized(value):
    if isinstance(value, dict):
        return frame(0xD0, b"".join(sorted(sha(frame(0x70, k.encode()) + serialized(v)) for k, v in value.items())))
    if isinstance(value, list):
        return b"\x0b\xb0" + b"".join(map(serialized, value)) + b"\x0e"
    return frame(*scalar(value))


def ion_hash(value):
    return sha(serialized(value))


# -- Ion --------------------------------------------------------------------------------------------------------------


def text(value):
    match value:
        case dict():
            return "{" + ",".join(f"{json.dumps(k)}:{text(v)}" for k, v in value.items()) + "}"
        case list():
            return "[" + ",".join(map(text, value)) + "]"
        case Decimal():
            return str(value) if "." in str(value) else f"{value}."
        case datetime():
            return value.strftime("%Y-%m-%dT%H:%M:%S.") + f"{value.microsecond // 1000:03d}Z"
        case bytes():
            return "{{" + base64.b64encode(value).decode() + "}}"
    return json.dumps(value)


def varuint(value):
    data = [value & 127 | 128]
    while value := value >> 7:
        data.insert(0, value & 127)
    return bytes(data)


def with_length(code, data):
    return bytes([code | len(data)]) + data if len(data) < 14 else bytes([code | 14]) + varuint(len(data)) + data


def binary(values):
    symbols = []

    def written(value):
        if isinstance(value, dict):
            fields = []
            for key, member in value.items():
                if key not in symbols:
                    symbols.append(key)
                fields.append(varuint(10 + symbols.index(key)) + written(member))
            return with_length(0xD0, b"".join(fields))
        if isinstance(value, list):
            return with_length(0xB0, b"".join(map(written, value)))
        code, data = scalar(value)
        return bytes([code]) if code in (0x0F, 0x10, 0x11) else with_length(code, data)

    body = b"".join(map(written, values))
    table = with_length(0xD0, b"\x87" + with_length(0xB0, b"".join(with_length(0x80, s.encode()) for s in symbols)))
    return b"\xe0\x01\x00\xea" + with_length(0xE0, b"\x81\x83" + table) + body


# -- the journal ------------------------------------------------------------------------------------------------------


def dot(one, other):
    if not one or not other:
        return one or other
    order = sorted((one, other), key=lambda h: [(b ^ 128) for b in reversed(h)])
    return sha(order[0] + order[1])


def root(hashes):
    hashes = list(hashes)
    while len(hashes) > 1:
        pairs = [hashes[i : i + 2] for i in range(0, len(hashes), 2)]
        hashes = [dot(*pair) if len(pair) == 2 else pair[0] for pair in pairs]
    return hashes[0] if hashes else b""


class Journal:
    """Blocks in the making. commit() takes changes: (document id, table name, data or None).

    deletion: what the hash of a deletion is, from that of its metadata; nobody has published it.
    """

    def __init__(self, deletion=lambda of_metadata: of_metadata):
        self.deletion = deletion
        self.blocks = []
        self.versions = {}
        self.tables = {}
        self.now = datetime(2022, 6, 8, 18, 46, 46, 512000, tzinfo=UTC)

    def commit(self, changes, *, statement="INSERT INTO T ?", system=1, redactions=()):
        number = len(self.blocks)
        self.now += timedelta(milliseconds=1500)
        transaction = f"tx{number:020d}"
        address = {"strandId": STRAND, "sequenceNo": number}
        revisions, documents = [], {}
        for document, table, data in changes:
            version = self.versions[document] = self.versions.get(document, -1) + 1
            self.tables.setdefault(table, f"table{len(self.tables):017d}")
            documents[document] = {"tableName": table, "tableId": self.tables[table], "statements": [0]}
            metadata = {"id": document, "version": version, "txTime": self.now, "txId": transaction}
            revision = {"blockAddress": address}
            if data is None:
                revision["hash"] = self.deletion(ion_hash(metadata))
            else:
                revision |= {"hash": dot(ion_hash(metadata), ion_hash(data)), "data": data}
            revisions.append(revision | {"metadata": metadata})
        revisions += [{"hash": sha(b"system %d %d" % (number, i))} for i in range(system)]
        said = {"statements": [{"statement": statement, "startTime": self.now, "statementDigest": sha(b"st")}]}
        if documents:
            said["documents"] = documents
        block = {"blockAddress": address, "transactionId": transaction, "blockTimestamp": self.now}
        listed = [ion_hash(said), root([revision["hash"] for revision in revisions]), sha(b"own %d" % number), b""]
        asked = None
        if redactions:
            asked = {
                "revisions": [
                    {"blockAddress": address, "tableId": "t", "documentId": document, "version": version}
                    for document, version in redactions
                ]
            }
            listed.insert(1, ion_hash(asked))
        previous = self.blocks[-1]["blockHash"] if self.blocks else b""
        entries = root(listed)
        block |= {
            "blockHash": dot(entries, previous),
            "entriesHash": entries,
            "previousBlockHash": previous,
            "entriesHashList": listed,
            "transactionInfo": said,
        }
        if asked:
            block["redactionInfo"] = asked
        self.blocks.append(block | {"revisions": revisions})

    def redact(self, document, version):
        """QLDB's redaction: the data gives way to its hash, in the block where it was; a block asks for that."""
        self.commit([], statement="EXEC REDACT_REVISION ?", redactions=[(document, version)])
        for block in self.blocks:
            for revision in block["revisions"]:
                if revision.get("metadata", {}).get("id") == document and revision["metadata"]["version"] == version:
                    revision["dataHash"] = ion_hash(revision.pop("data"))

    def export(self, folder, *, form="text", first=0, a_file=4):
        """Write the files of an export, as text or binary, and its manifest."""
        blocks, keys = self.blocks[first:], []
        (folder / "2022").mkdir(parents=True)
        for at in range(0, len(blocks), a_file):
            part = blocks[at : at + a_file]
            name = f"{STRAND}.{first + at}-{first + at + len(part) - 1}.ion"
            data = binary(part) if form == "binary" else " ".join(map(text, part)).encode()
            (folder / "2022" / name).write_bytes(data)
            keys.append(f"export/2022/{name}")
        (folder / f"exportid.{STRAND}.completed.manifest").write_text(text({"keys": keys}))
        (folder / "exportid.started.manifest").write_text(text({"ledgerName": "dmv"}))
