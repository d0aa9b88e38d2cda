"""Items as plain Python sees them: strategies, what comes back from the store, and DynamoDB's size rules."""

from decimal import Decimal, localcontext

from hypothesis import strategies as st

WIDE = {"prec": 200, "Emax": 999_999, "Emin": -999_999}


@st.composite
def decimals(draw):
    digits = draw(st.lists(st.integers(0, 9), min_size=1, max_size=38))
    return Decimal((draw(st.integers(0, 1)), tuple(digits), draw(st.integers(-130, 126 - len(digits)))))


numbers = st.integers(-(10**38) + 1, 10**38 - 1) | st.integers(-(2**64), 2**64) | st.integers(-99, 99) | decimals()
texts = st.text(st.characters(codec="utf-8"), max_size=12)
scalars = st.one_of(st.none(), st.booleans(), numbers, texts, st.binary(max_size=12))
sets = st.one_of(*(st.sets(kind, min_size=1, max_size=4) for kind in (numbers, texts, st.binary(max_size=5))))
values = st.recursive(
    scalars | sets,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=12,
)
items = st.dictionaries(texts.filter(bool), values, max_size=8)


def normal(value):
    """What an item's value must come back as."""
    if isinstance(value, bool) or value is None or isinstance(value, (str, bytes)):
        return value
    if isinstance(value, (int, Decimal)):
        with localcontext(**WIDE):
            whole = value == int(value) and abs(value) < 10**38
            return int(value) if whole else Decimal(value).normalize()
    if isinstance(value, dict):
        return {name: normal(part) for name, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [normal(part) for part in value]
    return {normal(part) for part in value}


def shown(value):
    """Equality by type and digits too: 1, True and Decimal("1.0") are equal in Python."""
    if isinstance(value, dict):
        return {name: shown(part) for name, part in value.items()}
    if isinstance(value, list):
        return [shown(part) for part in value]
    return sorted(map(repr, value)) if isinstance(value, set) else repr(value)


def size_of(value):  # noqa: PLR0911 - one line for each rule
    """DynamoDB's rules, without the item's own frame: a map inside an item has 3 bytes more and 1 for each element."""
    if isinstance(value, str):
        return len(value.encode())
    if isinstance(value, bytes):
        return len(value)
    if value is None or isinstance(value, bool):
        return 1
    if isinstance(value, (int, Decimal)):
        digits = "".join(map(str, Decimal(value).as_tuple().digits)).strip("0")
        return 1 + (len(digits) + 1) // 2 + (value < 0)
    if isinstance(value, dict):
        return 3 + sum(len(name.encode()) + size_of(part) + 1 for name, part in value.items())
    if isinstance(value, list):
        return 3 + sum(size_of(part) + 1 for part in value)
    return sum(map(size_of, value))
