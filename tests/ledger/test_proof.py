"""Verdicts about proofs: true for what a ledger made, false with a reason for anything else; notes and their keys."""

import base64
import dataclasses
import hashlib
import json
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ledger.proofs import ANYTHING, DATA, ENTRIES, ORIGIN, SALT, TRAILER, altered, consistency, digest, fields, proof
from models import ledger_merkle as model

from engines import ledger
from engines.errors import EngineError, Invalid
from engines.ledger.note import Ed25519Signer, VerifierKey, checkpoint, opened, sign
from engines.ledger.proof import (
    ConsistencyProof,
    Digest,
    Proof,
    Verdict,
    verify_consistency,
    verify_note,
    verify_proof,
)

FORMS = {"objects": lambda value: value, "dicts": fields, "texts": lambda value: value.to_json(),
         "bytes": lambda value: value.to_json().encode()}  # fmt: skip


@pytest.fixture(params=FORMS)
def form(request):
    return FORMS[request.param]


# -- what is true ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [1, 2, 13, 22])
def test_every_entry_of_a_ledger_is_proved(form, size):
    for index in range(size):
        verdict = verify_proof(form(proof(index, size)), form(digest(size)))
        assert verdict, verdict.reason
        assert verdict.reason == (
            f"this entry{' with its data' if index != TRAILER else ''} is leaf {index} of {size} in {ORIGIN}"
        )


def test_an_entry_is_proved_without_its_data(form):
    verdict = verify_proof(form(proof(salt=None, data=None)), form(digest()))
    assert (bool(verdict), verdict.reason) == (True, f"this entry is leaf 5 of 22 in {ORIGIN}")


@pytest.mark.parametrize(("old", "new"), [(1, 1), (1, 22), (8, 22), (13, 22), (21, 22), (22, 22)])
def test_a_ledger_that_only_grew_is_consistent(form, old, new):
    verdict = verify_consistency(form(consistency(old, new)), form(digest(old)), form(digest(new)))
    assert verdict, verdict.reason
    assert verdict.reason == f"the first {old} of {new} leaves in {ORIGIN} are unchanged"


@pytest.mark.parametrize("value", [digest(), digest(size=1), proof(), proof(TRAILER), proof(0, 1), consistency()])
def test_what_was_written_as_json_is_read_back(value):
    text = value.to_json()
    assert type(value).from_json(text) == type(value).from_json(text.encode()) == value
    assert json.loads(text)["format"].startswith("enginehouse-")


def test_the_fields_are_those_that_others_rely_on():
    assert fields(digest()) == {
        "format": "enginehouse-digest/1", "origin": ORIGIN, "size": 22, "block": 7, "time": 10, "note": None,
        "root": base64.b64encode(model.root(ENTRIES)).decode(),
    }  # fmt: skip
    found = fields(proof())
    assert list(found) == ["format", "origin", "size", "index", "entry", "salt", "data", "path"]
    assert (found["format"], found["data"], base64.b64decode(found["salt"])) == ("enginehouse-proof/1", DATA, SALT)
    assert list(fields(consistency())) == ["format", "origin", "old", "new", "path"]


# -- what is not -------------------------------------------------------------------------------------------------------


@given(altered(proof()))
def test_a_proof_with_any_field_altered_is_refused_with_a_reason(change):
    name, found = change
    verdict = verify_proof(found, digest())
    assert not verdict, name
    assert verdict.reason
    if not isinstance(found.get(name), bytes):  # which JSON has not
        with_text = verify_proof(json.dumps(found, default=str), digest())
        assert not with_text, name


@given(altered(digest()))
def test_a_digest_with_any_field_altered_is_refused_but_for_block_and_time_which_no_tree_proves(change):
    name, found = change
    harmless = name in ("block", "time") and type(found.get(name)) is int and 0 <= found[name] < 1 << 64
    assert bool(verify_proof(proof(), found)) is harmless
    assert bool(verify_consistency(consistency(), digest(13), found)) is harmless
    if name != "size":  # then it would be another size's digest
        assert not verify_consistency(consistency(), found, digest())


@given(altered(consistency()))
def test_a_consistency_proof_with_any_field_altered_is_refused(change):
    name, found = change
    assert not verify_consistency(found, digest(13), digest()), name


@given(ANYTHING, ANYTHING, ANYTHING)
def test_anything_at_all_is_refused_and_nothing_raises(first, second, third):
    for value in (first, second, third):
        assert not verify_proof(value, digest())
        assert not verify_proof(proof(), value)
        assert not verify_consistency(consistency(), value, digest())
    assert not verify_consistency(first, second, third)


@pytest.mark.parametrize(
    "text",
    [
        "", "{", "[]", "null", "5", '"x"', "[" * 100_000, '{"a":' * 100_000, "1" * 10_000, "NaN", "{}", b"\xff\xfe",
        b"\0",        '{"format": "enginehouse-proof/1"}', "\ud800",
    ],
    ids=range(15),
)  # fmt: skip
def test_a_text_that_is_no_proof_is_refused(text):
    assert not verify_proof(text, digest())
    assert not verify_consistency(text, text, text)
    for kind in (Digest, Proof, ConsistencyProof):
        with pytest.raises(Invalid):
            kind.from_json(text)


def test_a_field_given_twice_is_refused():
    text = proof().to_json()
    assert verify_proof(text, digest())
    verdict = verify_proof(text[:-1] + ', "size": 22}', digest())
    assert (bool(verdict), verdict.reason) == (False, "a field is there twice")


@pytest.mark.parametrize("kind", [Digest, Proof, ConsistencyProof])
def test_objects_made_by_hand_are_looked_at_like_texts(kind):
    good = {Digest: digest(), Proof: proof(), ConsistencyProof: consistency()}[kind]
    wrong = (None, True, -1, 1 << 64, 1.0, "x", b"x", [], [b"x"], object(), float("nan"))
    for field in dataclasses.fields(kind):
        for value in wrong:
            bad = dataclasses.replace(good, **{field.name: value})
            if kind is Digest:
                allowed = (field.name, value) == ("note", None)
                assert bool(verify_proof(proof(), bad)) is allowed, field.name
            elif kind is Proof:
                assert not verify_proof(bad, digest()), field.name
            else:
                assert not verify_consistency(bad, digest(13), digest()), field.name


@pytest.mark.parametrize(
    ("made", "about", "reason"),
    [
        (proof(origin="other/book"), digest(), "the proof is about other/book, the digest about"),
        (proof(size=21), digest(), "the proof is about 21 leaves, the digest about 22"),
        (proof(data=DATA.replace("Zoë", "Zoe")), digest(), "the data is not what the entry was made of"),
        (proof(salt=bytes(16)), digest(), "the data is not what the entry was made of"),
        (proof(data=None), digest(), "data is a text, or null together with its salt"),
        (proof(salt=None), digest(), "the salt of data is 16 bytes"),
        (proof(data="\ud800"), digest(), "data is a text"),
        (proof(TRAILER, data="", salt=SALT), digest(), "a trailer has none"),
        (proof(index=6, path=proof().path), digest(), "the path does not lead from entry 6 to the root of 22 leaves"),
        (proof(index=5, entry=ENTRIES[6]), digest(), "the path does not lead"),
        (proof(), digest(root=bytes(32)), "the path does not lead"),
        (proof(), digest(root=bytes(31)), "the root is 32 bytes"),
        (proof(entry=bytes(95)), digest(), "the entry is 96 or 144 bytes"),
        (proof(path=(bytes(32),) * 65), digest(), "the path is a list of at most 64 hashes"),
        (proof(origin="a\nb"), digest(), "the origin is a printable text"),
        (proof(size=1 << 64), digest(), "size is a whole number from 0, below 2^64"),
        (digest(), digest(), "a Proof, a dict or a JSON text is wanted, got Digest"),
        (proof(), digest(note="hello"), "the note is not about this origin, size and root"),
    ],
    ids=range(18),
)
def test_a_refusal_says_why(made, about, reason):
    verdict = verify_proof(made, about)
    assert not verdict
    assert reason in verdict.reason


def test_nothing_is_shown_about_an_empty_or_a_shrunken_or_a_rewritten_ledger():
    empty = digest(0)
    assert "the empty tree" in verify_consistency(ConsistencyProof(ORIGIN, 0, 22, ()), empty, digest()).reason
    assert not verify_consistency(ConsistencyProof(ORIGIN, 0, 0, ()), empty, empty)
    assert not verify_consistency(ConsistencyProof(ORIGIN, 22, 13, ()), digest(), digest(13))
    forked = digest(root=model.root([*ENTRIES[:3], b"forged", *ENTRIES[4:]]))
    assert "does not lead" in verify_consistency(consistency(), digest(13), forked).reason
    assert not verify_consistency(consistency(22, 22), forked, digest())
    assert (
        "the digests about other and" in verify_consistency(consistency(), digest(13, origin="other"), digest()).reason
    )


def test_a_verdict_is_true_or_false_and_has_a_reason():
    assert bool(Verdict(shown=True, reason="")) is True
    assert bool(Verdict(shown=False, reason="")) is False
    assert (ledger.verify_proof, ledger.verify_consistency, ledger.verify_note) == (
        verify_proof, verify_consistency, verify_note,
    )  # fmt: skip


# -- notes -------------------------------------------------------------------------------------------------------------

# The example of C2SP's signed-note, whose key is not known: only its form can be checked.
EXAMPLE = """example.com/behind-the-sofa
20852163
CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=

\u2014 example.com/behind-the-sofa Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URYN7u5\
/Zhcyv2q1gGzGku9nTo+zyWE+xeMcTOAYQ8=
"""


@pytest.fixture
def signer():
    pytest.importorskip("cryptography", reason="signatures need the extra [sign]")
    return Ed25519Signer("dmv/signer", bytes(range(32)))


def test_a_note_of_another_maker_is_read():
    text, [(name, key_id, signature)] = opened(EXAMPLE)
    assert text == EXAMPLE[: EXAMPLE.index("\n\n") + 1]
    assert (name, key_id.hex(), len(signature)) == ("example.com/behind-the-sofa", "033de0ae", 64)


def test_a_checkpoint_is_signed_as_the_formats_say(signer):
    lines = digest().signed(signer).note.split("\n")
    root = base64.b64encode(model.root(ENTRIES)).decode()
    assert lines[:4] == [ORIGIN, "22", root, ""]
    assert lines[4].startswith("\u2014 dmv/signer ")
    signature = base64.b64decode(lines[4].split(" ")[2])
    public = base64.b64decode(signer.verifier_key.split("+", 2)[2])[1:]
    assert signature[:4] == hashlib.sha256(b"dmv/signer\n\x01" + public).digest()[:4] == signer.key_id
    assert signature[4:] == signer.sign(f"{ORIGIN}\n22\n{root}\n".encode())
    assert lines[5:] == [""]


def test_a_key_is_that_of_rfc_8032():
    pytest.importorskip("cryptography", reason="signatures need the extra [sign]")
    secret = bytes.fromhex("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60")
    signer = Ed25519Signer("rfc", secret)
    assert signer.sign(b"").hex().startswith("e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e0652249015")
    assert base64.b64decode(signer.verifier_key.split("+", 2)[2]).hex() == (
        "01d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a"
    )
    assert secret.hex() not in repr(signer)


def test_a_signed_digest_travels_and_its_note_is_verified(signer):
    signed = Digest.from_json(digest().signed(signer).to_json())
    assert verify_note(signed.note, signer.verifier_key)
    assert verify_note(signed.note, signer.verifier_key).reason == "signed by dmv/signer"
    assert verify_proof(proof(), signed)
    for other in (digest(13), digest(origin="other"), digest(root=bytes(32))):
        assert not verify_proof(proof(), dataclasses.replace(digest(), note=other.signed(signer).note))


@given(st.data())
def test_a_note_with_any_character_altered_is_refused(data):
    pytest.importorskip("cryptography", reason="signatures need the extra [sign]")
    key = Ed25519Signer("dmv/signer", bytes(range(32)))
    note = digest().signed(key).note
    at = data.draw(st.integers(0, len(note)))
    to = at + data.draw(st.integers(0, 3))
    changed = note[:at] + data.draw(st.text(max_size=3) | st.sampled_from(["\n", "\n\n", "A", "=", " "])) + note[to:]
    assert bool(verify_note(changed, key.verifier_key)) is (changed == note)


def test_lines_of_other_keys_are_passed_over_but_one_of_ours_that_is_wrong_is_not(signer):
    other = Ed25519Signer("witness", bytes(32))
    namesake = Ed25519Signer("dmv/signer", bytes(32))
    text = checkpoint(ORIGIN, 22, model.root(ENTRIES))
    lines = [sign(text, key).split("\n")[-2] for key in (other, namesake, signer)]
    for key in (signer, other, namesake):
        assert verify_note("\n".join([text, *lines, ""]), key.verifier_key)
    assert "nobody signed" in verify_note(sign(text, other), signer.verifier_key).reason
    wrong = sign(checkpoint(ORIGIN, 21, model.root(ENTRIES)), signer).split("\n")[-2]
    assert "is not about this text" in verify_note("\n".join([text, lines[2], wrong, ""]), signer.verifier_key).reason
    assert not verify_note("\n".join([text, *lines[2:] * 101, ""]), signer.verifier_key)


@given(ANYTHING)
def test_any_other_note_is_refused(note):
    pytest.importorskip("cryptography", reason="signatures need the extra [sign]")
    assert not verify_note(note, Ed25519Signer("a", bytes(32)).verifier_key)


@pytest.mark.parametrize(
    "note",
    [
        EXAMPLE.replace("20852163", "020852163"), EXAMPLE.replace("20852163", str(1 << 64)),
        EXAMPLE.replace("20852163", "1" * 5000), EXAMPLE.replace("20852163", "\u0662"), EXAMPLE.replace("2I=", "2J="),
        EXAMPLE.replace("\n\n", "\nmore\n\n"), EXAMPLE.replace("\n\n", "\n\n\n"), EXAMPLE[:-1], EXAMPLE + "\n",
        EXAMPLE.replace("\u2014", "-"), EXAMPLE.replace("\n", "\r\n"), EXAMPLE.split("\u2014", maxsplit=1)[0],
        "\n\n", "x" * (1 << 21),
    ],
    ids=range(14),
)  # fmt: skip
def test_what_is_nearly_a_note_is_none(note):
    with pytest.raises(Invalid):
        opened(note)


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (lambda key: "", "a verifier key is a text"),
        (lambda key: key[:-4], "a verifier key is a text"),
        (lambda key: key.replace("dmv/signer", ""), "a verifier key is a text"),
        (lambda key: key.replace("dmv", "DMV"), "one is mistyped"),
        (lambda key: key.replace("+A", "+B", 1), "a verifier key is a text"),
        (lambda key: 5, "a verifier key is a text"),
    ],
)
def test_a_key_that_is_none_is_our_own_mistake_and_raises(signer, spoil, reason):
    assert VerifierKey(signer.verifier_key).key_id == signer.key_id
    with pytest.raises(Invalid, match=reason):
        verify_note(EXAMPLE, spoil(signer.verifier_key))


@pytest.mark.parametrize("name", ["", "a b", "a+b", "a\nb", "a\u00a0b", "\ud800", 5])
def test_a_signer_has_a_name_that_a_note_can_hold(name):
    with pytest.raises(Invalid, match="printable, without spaces"):
        Ed25519Signer(name, bytes(32))


@pytest.mark.parametrize("secret", [b"", bytes(31), bytes(33), "x" * 32, None])
def test_a_secret_is_32_bytes_and_no_message_shows_it(secret):
    with pytest.raises(Invalid, match="32 random bytes"):
        Ed25519Signer("a", secret)


def test_a_signer_of_another_maker_needs_no_package_of_ours():
    class Mine:
        name, key_id = "mine", b"1234"

        def sign(self, message):
            return hashlib.sha512(message).digest()

    note = digest().signed(Mine()).note
    assert opened(note)[1] == [("mine", b"1234", Mine().sign(checkpoint(ORIGIN, 22, model.root(ENTRIES)).encode()))]
    Mine.key_id = b"123"
    with pytest.raises(Invalid, match="key id of 4 bytes"):
        digest().signed(Mine())


def test_without_the_package_the_error_names_the_extra(monkeypatch):
    for name in [name for name in sys.modules if name.partition(".")[0] == "cryptography"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "cryptography", None)
    with pytest.raises(EngineError, match=r"pip install 'enginehouse\[sign\]'"):
        Ed25519Signer("a", bytes(32))
    assert verify_proof(proof(), digest())
