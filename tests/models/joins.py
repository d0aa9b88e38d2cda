"""Joins by two loops, as SQL describes them."""


def join(kind, left, right, keys, holds=lambda _left, _right: True):
    """Rows (tuples) of a join. keys: how many leading values of both sides are compared; NULL is None.

    semi, anti, null-aware anti give left rows; the others left + right, with Nones for want of a partner.
    """

    def equal(a, b):
        tests = [None if x is None or y is None else x == y for x, y in zip(a[:keys], b[:keys], strict=True)]
        return False if False in tests else None if None in tests else True

    blank_left = (None,) * (len(left[0]) if left else 0)
    blank_right = (None,) * (len(right[0]) if right else 0)
    rows = []
    met = set()
    for a in left:
        partners = [i for i, b in enumerate(right) if equal(a, b) and holds(a, b)]
        met.update(partners)
        if kind == "null-aware anti":
            if all(equal(a, b) is False or not holds(a, b) for b in right):
                rows.append(a)
        elif kind in {"semi", "anti"}:
            if bool(partners) == (kind == "semi"):
                rows.append(a)
        elif kind == "single" and len(partners) > 1:
            raise ValueError("more than one row")
        else:
            rows += [a + right[i] for i in partners]
            if not partners and kind in {"left", "full", "single"}:
                rows.append(a + blank_right)
    if kind in {"right", "full"}:
        rows += [blank_left + b for i, b in enumerate(right) if i not in met]
    return rows
