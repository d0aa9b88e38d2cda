"""A small ledger's digests and proofs, made by the model and hashlib, and ways to spoil their JSON fields."""

import base64
import hashlib
import json

from hypothesis import strategies as st
from models import ledger_merkle as model

from engines.ledger.proof import ConsistencyProof, Digest, Proof

ORIGIN = "dmv/4fV2kYzQ0rWb7LJ9xT1uMA"
SALT = bytes(range(16))
DATA = '{"VIN":"1N4AL11D75C109151","Owner":"Zoë"}'
HASH = hashlib.sha256(b"\2" + SALT + DATA.encode()).digest()
ENTRIES = [bytes([1, number]) + bytes(62) + HASH for number in range(21)] + [bytes([5]) * 144]
TRAILER = 21  # the index of the last entry


def digest(size=22, origin=ORIGIN, **others):
    return Digest(
        **{"origin": origin, "size": size, "root": model.root(ENTRIES[:size]), "block": 7, "time": 10} | others
    )


def proof(index=5, size=22, **others):
    known = {"salt": SALT, "data": DATA} if index != TRAILER else {"salt": None, "data": None}
    path = tuple(model.path(index, ENTRIES[:size]))
    made = {"origin": ORIGIN, "size": size, "index": index, "entry": ENTRIES[index], "path": path}
    return Proof(**made | known | others)


def consistency(old=13, new=22, **others):
    path = tuple(model.consistency(old, ENTRIES[:new]))
    return ConsistencyProof(**{"origin": ORIGIN, "old": old, "new": new, "path": path} | others)


def fields(value):
    return json.loads(value.to_json())


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(max_size=50) | st.binary(max_size=40) | st.integers()
    | st.sampled_from([2**63, 2**64 - 1, 2**64, 10**30, -1, "", "AA==", "A" * 43 + "=", "A" * 44, "\ud800"]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=6,
)  # fmt: skip


def spoiled(value):
    """A field's value, altered a little or entirely; never what it was."""
    ways = [ANYTHING]
    if type(value) is int:
        ways += [st.integers(-3, 3).map(lambda step: value + step), st.just(str(value)), st.just(float(value))]
    if isinstance(value, str):
        position = st.integers(0, len(value) - 1)
        ways += [
            position.map(lambda at: value[:at] + value[at + 1 :]),
            st.tuples(position, st.characters()).map(lambda drawn: value[: drawn[0]] + drawn[1] + value[drawn[0] :]),
            st.tuples(position, st.sampled_from("AQgw+/=B"))
            .map(lambda drawn: value[: drawn[0]] + drawn[1] + value[drawn[0] + 1 :]),
            st.just(value + "\n"), st.just(value.encode()), st.just([value]),
        ]  # fmt: skip
    if isinstance(value, list):
        position = st.integers(0, len(value) - 1)
        other = base64.b64encode(bytes(32)).decode()
        ways += [
            position.map(lambda at: value[:at] + value[at + 1 :]),
            st.tuples(position, st.sampled_from([other, value[0], "", None, 5, other * 2])).map(
                lambda drawn: [*value[: drawn[0]], drawn[1], *value[drawn[0] :]]
            ),
            position.flatmap(lambda at: spoiled(value[at]).map(lambda part: [*value[:at], part, *value[at + 1 :]])),
            st.just(value[::-1]), st.just(value * 20), st.just(",".join(value)),
        ]  # fmt: skip
    return st.one_of(ways).filter(lambda other: type(other) is not type(value) or other != value)


@st.composite
def altered(draw, value):
    """The fields of a value with one of them spoiled, missing, or too many; and the name of that field."""
    found = fields(value)
    name = draw(st.sampled_from(sorted(found)))
    what = draw(st.sampled_from(["spoil"] * 8 + ["drop", "add"]))
    if what == "spoil":
        found[name] = draw(spoiled(found[name]))
    elif what == "drop":
        del found[name]
    else:
        found[draw(st.text(max_size=4))] = found[name]
        name = "more"
    return name, found
