"""Golden vectors of proofs, read where they lie: in a folder `conformance`, which the project does not hold.

That is $ENGINES_CONFORMANCE, or a folder of this name beside the checkout or in one of its neighbours. The files of
conformance/rfc6962 are those of transparency-dev/merkle, folder testdata: a verifier has to accept or refuse each.
"""

import base64
import json
import os
from pathlib import Path

import pytest

BESIDE = Path(__file__).parents[2].parent
COUNT = 93


def folder():
    named = os.environ.get("ENGINES_CONFORMANCE")
    places = [Path(named)] if named else [BESIDE / "conformance", *sorted(BESIDE.glob("*/conformance"))]
    return next((place / "rfc6962" for place in places if (place / "rfc6962").is_dir()), None)


def load(kind):
    """The vectors of one kind, "inclusion" or "consistency", as test parameters; one that skips if there are none."""
    found = folder()
    if found is None:
        reason = "no golden vectors: set ENGINES_CONFORMANCE to a folder that holds rfc6962/"
        return [pytest.param(None, marks=pytest.mark.skip(reason=reason), id="absent")]
    files = sorted(found.joinpath(kind).rglob("*.json"))
    return [
        pytest.param(json.loads(path.read_text()), id=path.relative_to(found).with_suffix("").as_posix())
        for path in files
    ]


def raw(text):
    return base64.b64decode(text) if text else b""


def inclusion(case):
    """leaf, index, size, path, root."""
    path = [raw(part) for part in case["proof"] or []]
    return raw(case["leafHash"]), case["leafIdx"], case["treeSize"], path, raw(case["root"])


def consistency(case):
    """size1, size2, path, root1, root2."""
    path = [raw(part) for part in case["proof"] or []]
    return case["size1"], case["size2"], path, raw(case["root1"]), raw(case["root2"])
