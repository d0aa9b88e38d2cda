# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Ledger: a book that cannot be changed unseen
#
# Vehicle registrations in a ledger of the class of Amazon QLDB: every change is kept, and whoever kept 32 bytes can check it.
#
# **After this you can** read the history of a document · say how long a proof is, and check one without trusting the ledger ·
# find a tampered byte, and say why a checksum is not enough · delete data without losing proofs.
#
# **Invariants** of the ledger that you are about to use. The cells below check each of them.
#
# * A revision that was entered is there for ever: a change is a new one, a deletion is a tombstone.
# * A digest stands for everything before it. What is altered leads to another digest.
# * Yesterday's ledger is the beginning of today's, and that can be proved.
# * Redacted data is gone; its proofs are not.
#
# **Predict.** Write a number beside each before you read on.
#
# 1. A ledger of 1,000 documents: how many hashes has a proof? And of 1,000,000?
# 2. You flip one bit of a document on the disk. Which message do you get, and which block does it name?
# 3. You flip it *and* mend the checksum. Who notices?
# 4. You write the whole book anew, consistent in itself. Who notices?
# 5. Two transactions add one to the same counter at the same time. What is in it afterwards?
#
# Everything here runs without a network, on a clock that moves only when it is told to.

# %%
import json
import random
import struct
import tempfile
import threading
import time
from decimal import Decimal  # for an exercise
from hashlib import sha256
from pathlib import Path

import matplotlib.pyplot as plt
from IPython.display import HTML, SVG
from matplotlib_inline.backend_inline import set_matplotlib_formats

from engines import ledger
from engines._native import frame
from engines.clock import ManualClock
from engines.display import Table
from engines.errors import Conflict, Corrupted
from engines.ledger.pictures import draw_blocks

set_matplotlib_formats("svg")
place = tempfile.TemporaryDirectory(prefix="ledger-")
folder = Path(place.name)
clock = ManualClock(1_356_998_400 * 1_000_000)
book = ledger.Ledger(folder / "dmv", clock=clock)
book.create_table("Vehicle", indexes=["VIN"])


def vehicle(number):
    owner = ("Ann", "Bob", "Eve", "Joe")[number % 4]
    return {
        "VIN": f"VIN{number:06d}",
        "Year": 2000 + number % 24,
        "Owner": {"Name": owner, "GovId": f"L{number % 100:03d}"},
    }


# %% [markdown]
# ## History: nothing is overwritten

# %%
with book.transaction() as tx:
    vid = tx.insert("Vehicle", vehicle(4))  # Ann is the first owner
for owner in ("Bob", "Eve"):
    clock.advance(days=30)
    book.execute("UPDATE Vehicle AS v SET v.Owner.Name = ? WHERE v.VIN = ?", owner, "VIN000004")
book.history("Vehicle", vid)

# %% [markdown]
# Who owned it on 15 February? A history answers with what was current at some time in between.

# %%
book.execute(
    "SELECT h.data.Owner.Name AS owner, h.metadata.txTime AS since "
    "FROM history(Vehicle, `2013-02-15T00:00:00Z`, `2013-02-15T00:00:00Z`) AS h WHERE h.metadata.id = ?",
    vid,
)

# %% [markdown]
# ## Blocks: the journey of one update
#
# `UPDATE` read the document (and noted that it did), made a new revision, and the commit made a block of it: entries, a salt and
# the canonical JSON for each, a trailer with the root of all entries and the hash of the block before.

# %%
SVG(draw_blocks(book.blocks()))

# %%
*_, before, last = book.blocks()
assert last.previous == before.hash == sha256(b"\3" + before.trailer).digest()
(entry,) = last.revisions
assert entry.data_hash == sha256(b"\2" + entry.salt + entry.data).digest()
print(entry.data.decode())

# %% [markdown]
# ## Proofs: how long are they?
#
# Your first prediction. Each doubling of the ledger adds one hash.

# %%
sizes, lengths = [], []
for step in range(4, 18):
    book.append("Vehicle", map(vehicle, range(2 ** (step - 1), 2**step)))
    digest = book.digest()
    proof = book.prove("Vehicle", vid, digest=digest)
    assert ledger.verify_proof(proof, digest)
    sizes.append(digest.size)
    lengths.append(len(proof.path))
figure, axes = plt.subplots(figsize=(6, 3))
axes.semilogx(sizes, lengths, "o-", base=2)
axes.set(xlabel="leaves", ylabel="hashes in a proof", title="log2(n): 20 hashes for a million, 640 bytes")
figure.tight_layout()
assert lengths[-1] - lengths[0] in (12, 13, 14)

# %%
HTML(proof._repr_html_())


# %% [markdown]
# Checking it takes a loop. This is all there is to it (RFC 9162, 2.1.3.2; the real one also checks every length and format):


# %%
def lead(entry, index, size, path):
    """The root that a path leads to."""
    node, last = sha256(b"\0" + entry).digest(), size - 1
    for part in path:
        if index & 1 or index == last:
            node = sha256(b"\1" + part + node).digest()
            while index and not index & 1:
                index, last = index >> 1, last >> 1
        else:
            node = sha256(b"\1" + node + part).digest()
        index, last = index >> 1, last >> 1
    return node


assert lead(proof.entry, proof.index, proof.size, proof.path) == digest.root
print(ledger.verify_proof(proof, digest).reason)

# %% [markdown]
# ## Measured: three things, beside something
#
# Minima of a few runs, on the machine that built this page.


# %%
def fastest(work, *, rounds=5):
    """Seconds of the shortest of a few runs."""
    taken = []
    for _ in range(rounds):
        began = time.perf_counter()
        work()
        taken.append(time.perf_counter() - began)
    return min(taken)


documents = [vehicle(number) for number in range(10_000)]


def textbook():
    """What tutorials call a blockchain: a list of dumped JSON, each with the hash of the one before."""
    previous, chain = "0" * 64, []
    for index, document in enumerate(documents):
        block = json.dumps({"index": index, "previous": previous, "data": document}, sort_keys=True)
        previous = sha256(block.encode()).hexdigest()
        chain.append(block)


memory = ledger.Ledger()
memory.create_table("Vehicle")
ids = book.append("Vehicle", documents).ids
digest = book.digest()
proofs = [book.prove("Vehicle", identity, digest=digest) for identity in random.Random(0).sample(list(ids), 200)]
rows = [
    ("append a document, a proof possible", fastest(lambda: memory.append("Vehicle", documents)) / len(documents)),
    ("the textbook chain, no proof possible", fastest(textbook) / len(documents)),
    ("make a proof", fastest(lambda: [book.prove("Vehicle", i, digest=digest) for i in ids[:200]]) / 200),
    ("check a proof", fastest(lambda: [ledger.verify_proof(each, digest) for each in proofs]) / len(proofs)),
    ("audit a document", fastest(book.verify, rounds=2) / book.verify().documents),
]
Table.from_rows(["what", "microseconds"], [(what, round(1e6 * seconds, 2)) for what, seconds in rows])

# %% [markdown]
# The chain in a list has no network, no consensus and no disk, and neither has the row above it: this says what hashing and JSON
# cost, and nothing about blockchain frameworks.
#
# ## Break it: one bit
#
# Your second prediction.

# %%
segment = min(folder.joinpath("dmv", "log").glob("*.log"))
good = segment.read_bytes()
bad = bytearray(good)
bad[good.index(b"VIN000007")] ^= 1
segment.write_bytes(bad)
report = book.verify()
report.first_bad

# %% [markdown]
# `kind="disk"`: the frame's checksum is wrong. That is what a disk does. And reading it?

# %%
try:
    book.execute("SELECT * FROM Vehicle AS v WHERE v.VIN = ?", "VIN000007")
except Corrupted as error:
    print(error)


# %% [markdown]
# ## Break it: somebody who can mend checksums
#
# The third prediction. A checksum is no secret: whoever can write the byte can write the checksum.


# %%
def forged(path, data):
    """The segment with some bytes changed and the checksum of their frame made anew."""
    (log_id,) = struct.unpack_from("<Q", data, 8)
    changed = bytearray(data)
    at = 64
    while at < len(data) and (length := int.from_bytes(data[at : at + 4], "little")):
        size = (frame.HEADER + length + 7) & ~7
        if bad[at : at + size] != data[at : at + size]:
            _, sequence, moment, lag, kind = frame.header_at(data, at)
            buffer = frame.FrameBuffer(log_id)
            buffer.append(sequence, moment, lag, kind, bytes(bad[at + frame.HEADER : at + frame.HEADER + length]))
            changed[at : at + size] = buffer.peek()
        at += size
    path.write_bytes(changed)


forged(segment, good)
report = book.verify()
report.first_bad

# %% [markdown]
# `kind="data"`: the data does not have the hash that its entry says. To mend that as well, the entry has to change, then its leaf,
# the root in every later trailer, and every later block's hash: the whole book.

# %%
segment.write_bytes(good)
assert book.verify(against=digest).ok

# %% [markdown]
# ## Break it: write the whole book anew
#
# The fourth prediction. Consistent in itself it passes every check; only what was kept *elsewhere* tells.

# %%
kept = book.digest().to_json()  # with the auditor, not beside the ledger
identity = folder.joinpath("dmv", "BOOK").read_bytes()
with ledger.Ledger(folder / "forged", clock=ManualClock(1_356_998_400 * 1_000_000)) as other:
    other.create_table("Vehicle", indexes=["VIN"])
    other.append("Vehicle", ({**vehicle(n), "Owner": {"Name": "Eve"}} for n in range(book.digest().size)))
folder.joinpath("forged", "BOOK").write_bytes(identity)
with ledger.Ledger(folder / "forged") as other:
    assert other.verify().ok
    report = other.verify(against=kept)
report.first_bad

# %% [markdown]
# ## Forget, and still prove
#
# Ann, the first owner, asks to be forgotten. Her revision is superseded, so it may be redacted. In the history its `data` is gone
# then, and `dataHash` stands in its place.

# %%
digest = book.digest()
proof = book.prove("Vehicle", vid, version=0, digest=digest)
number = book.redact("Vehicle", vid, version=0)
assert book.get("Vehicle", vid, version=0) is None
assert ledger.verify_proof(proof, digest), "a proof that was made before"
assert ledger.verify_consistency(book.prove_consistency(digest), digest, book.digest())
print(f"block {number} records it; the entry is still proved:", book.prove("Vehicle", vid, 0).data)
book.history("Vehicle", vid)[0]

# %% [markdown]
# ## Two at once
#
# The last prediction.

# %%
with book.transaction() as tx:
    counter = tx.insert("Vehicle", {"VIN": "counter", "n": 0})


def one_more(tx):
    tx.update("Vehicle", counter, {"VIN": "counter", "n": tx.get("Vehicle", counter)["n"] + 1})


early, late = book.transaction(), book.transaction()
one_more(early)
one_more(late)
early.commit()
try:
    late.commit()
except Conflict as error:
    print(error)
threads = [threading.Thread(target=lambda: [book.run(one_more, retries=1000) for _ in range(25)]) for _ in range(4)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
book.get("Vehicle", counter)

# %%
assert book.get("Vehicle", counter)["n"] == 101
assert len(book.history("Vehicle", counter)) == 102

# %% [markdown]
# ## Questions
#
# **Recall.** What is hashed into a leaf, and what is not? Why does an entry hold a salted hash of its data and not the data?
#
# <details><summary>Answer</summary>The 96 bytes of the entry: kind, table, document, version, length, block, time, transaction,
# and the hash of salt and data. So data and salt can go, and the leaf stays.</details>
#
# **Predict.** `book.prove("Vehicle", vid, version=0)` after the redaction: does it verify? What is in `.data`?
#
# <details><summary>Answer</summary>It verifies: the entry is unchanged. `.data` and `.salt` are None, so it is proved that something
# was entered then, not what.</details>
#
# **Try.** The ledger is still open as `book`. Insert a vehicle with `"Price": 0.1 + 0.2`, prove it, and look at the data in the proof.
# Then insert one with `Decimal("0.3")`.
#
# <details><summary>Answer</summary>`0.30000000000000004`: the shortest text of that float, the same for everybody. A Decimal is refused:
# JSON has no decimals, and a ledger that rounds is none.</details>
#
# **Design.** A club of ten banks keeps one ledger at one of them. What do the other nine have to keep, and what do they have to ask
# for, so that the one cannot change the past? What can it still do?
#
# <details><summary>Answer</summary>Each keeps the latest digest, and asks for a proof of consistency with every new one (32 bytes and
# some twenty hashes). It can still refuse to enter something, or show different books to different banks, unless they compare
# their digests.</details>
