"""The stand-alone verifier: what it says, that it says what the engine says, and that it stands alone."""

import ast
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ledger.proofs import DATA, ORIGIN, TRAILER, altered, digest, fields, proof

from engines.ledger import verify
from engines.ledger.proof import verify_proof

SOURCE = Path(verify.__file__)


def judged(made, about):
    """Whether the stand-alone verifier takes two texts, and what it says."""
    try:
        return True, verify.judge(made, about)
    except (ValueError, RecursionError) as error:
        return False, str(error)


def test_it_is_short_and_imports_nothing_but_the_standard_library():
    text = SOURCE.read_text()
    assert len(text.splitlines()) <= 80
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import | ast.ImportFrom):
            names = [node.module] if isinstance(node, ast.ImportFrom) else [alias.name for alias in node.names]
            assert {name.partition(".")[0] for name in names} <= sys.stdlib_module_names


@pytest.mark.parametrize("size", range(1, 23))
def test_it_takes_every_proof_of_a_ledger(size):
    for index in range(size):
        with_data = "" if index == TRAILER else " with this data"
        assert judged(proof(index, size).to_json(), digest(size).to_json()) == (
            True, f"this entry{with_data} is leaf {index} of {size} in {ORIGIN}",
        )  # fmt: skip


@given(st.data())
def test_it_says_what_the_engine_says_about_altered_proofs_and_digests(data):
    made, about = fields(proof(data.draw(st.sampled_from([5, TRAILER])))), fields(digest())
    if data.draw(st.booleans()):
        _, made = data.draw(altered(proof()))
    else:
        _, about = data.draw(altered(digest()))
    texts = [json.dumps(found, default=str) for found in (made, about)]
    assert judged(*texts)[0] is bool(verify_proof(*texts))


@pytest.mark.parametrize("text", ["", "{", "[]", "5", "null", "{}", "[" * 100_000, "1" * 10_000, '{"a": 1, "a": 1}'])
def test_it_refuses_a_text_that_is_no_proof(text):
    assert judged(text, digest().to_json())[0] is False
    assert judged(proof().to_json(), text)[0] is False


@pytest.mark.parametrize(
    ("made", "about", "reason"),
    [
        (proof(origin="other"), digest(), "another ledger"),
        (proof(size=21), digest(), "another size"),
        (proof(data=DATA + " "), digest(), "the data is not what was entered"),
        (proof(), digest(root=bytes(32)), "does not lead"),
        (proof(path=proof().path[:-1]), digest(), "does not lead"),
        (proof(path=(*proof().path, bytes(32))), digest(), "too long"),
        (proof(), digest(note="x"), "another digest"),
    ],
)
def test_a_refusal_says_why(made, about, reason):
    shown, why = judged(made.to_json(), about.to_json())
    assert not shown
    assert reason in why


@pytest.mark.slow
def test_it_works_when_copied_elsewhere(tmp_path):
    shutil.copy(SOURCE, tmp_path / "check.py")
    for name, value in (("proof", proof()), ("digest", digest()), ("other", digest(21))):
        tmp_path.joinpath(f"{name}.json").write_text(value.to_json())
    tmp_path.joinpath("deep.json").write_text("[" * 100_000)

    def run(*names):
        command = [sys.executable, "-I", "-S", "check.py", *names]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)  # noqa: S603 - our own file
        return done.returncode, done.stdout, done.stderr

    good = f"this entry with this data is leaf 5 of 22 in {ORIGIN}\n"
    assert run("proof.json", "digest.json") == (0, good, "")
    assert run("proof.json", "other.json") == (1, "", "refused: the digest is of another size\n")
    for arguments in (("proof.json", "absent.json"), ("deep.json", "digest.json")):
        status, out, why = run(*arguments)
        assert (status, out, why.count("\n"), why.startswith("refused: ")) == (1, "", 1, True)
    assert run("proof.json")[0] == 1
    assert "python verify.py proof.json digest.json" in run()[2]
