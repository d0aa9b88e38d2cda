"""Pictures of a ledger: the way from a leaf to the root, and the chain of blocks.

given     hashes that a proof brings along          computed    hashes that whoever checks it makes
"""

from hashlib import sha256
from typing import TYPE_CHECKING, Final

from engines.drawing import Drawing
from engines.ledger.ids import show

if TYPE_CHECKING:
    from collections.abc import Iterable

    from engines.ledger.block import Block
    from engines.ledger.proof import Proof

ROW: Final = 40
LEFT, MIDDLE, WIDE = 150, 320, 120
BLOCKS: Final = 20


def draw_proof(proof: "Proof") -> str:
    """The path of a proof as SVG, the root at the top."""
    drawing = Drawing()
    node, at, last = sha256(b"\0" + proof.entry).digest(), proof.index, max(proof.size - 1, 0)
    rows = [("leaf", node, b"", False)]
    for part in proof.path:
        left = bool(at & 1) or at == last
        node = sha256(b"\1" + (part + node if left else node + part)).digest()
        rows.append(("", node, part, left))
        up = (at & -at).bit_length() if left and at else 1
        at, last = at >> up, last >> up
    top = 12 + ROW * (len(rows) - 1)
    drawing.text(8, 26, f"root of {proof.size:,} leaves", "b")
    drawing.text(8, top + 17, f"leaf {proof.index:,}", "b")
    for i, (_, computed, given, left) in enumerate(rows):
        y = top - ROW * i
        drawing.box(MIDDLE, y, WIDE, 24, "c1", hint=f"computed: {computed.hex()}")
        drawing.text(MIDDLE + 8, y + 16, computed.hex()[:12], "m")
        if i:
            x = LEFT if left else 2 * MIDDLE - LEFT
            drawing.box(x, y + ROW, WIDE, 24, "c3", hint=f"given: {given.hex()}")
            drawing.text(x + 8, y + ROW + 16, given.hex()[:12], "m")
            inner = x + WIDE if left else x
            drawing.line(inner, y + ROW + 8, MIDDLE + (20 if left else WIDE - 20), y + 24)
            drawing.line(MIDDLE + WIDE / 2, y + ROW, MIDDLE + WIDE / 2, y + 24)
    key = top + ROW + 4
    drawing.box(8, key, 14, 14, "c1")
    drawing.text(28, key + 12, "computed by whoever checks", "s")
    drawing.box(220, key, 14, 14, "c3")
    drawing.text(240, key + 12, f"given by the proof: {len(proof.path)} hashes, {32 * len(proof.path)} bytes", "s")
    return drawing.svg()


def draw_blocks(blocks: "Iterable[Block]") -> str:
    """Blocks as boxes, each with the hash of the one before, as SVG: the first twenty."""
    drawing = Drawing()
    y = 8.0
    left_out = 0
    for number, block in enumerate(blocks):
        if number >= BLOCKS:
            left_out += 1
            continue
        shown = block.revisions[:4]
        high = 58 + 18 * len(shown) + (18 if block.count > len(shown) else 0)
        if number:
            drawing.line(60, y - 12, 60, y)
        drawing.box(8, y, 784, high, "c0", hint=f"transaction {show(block.transaction)}")
        drawing.text(16, y + 18, f"block {block.number}", "b")
        drawing.text(110, y + 18, f"{block.count} entries from leaf {block.first_leaf}", "s")
        drawing.text(16, y + 36, f"before {block.previous.hex()[:16]}", "m s")
        drawing.text(280, y + 36, f"root {block.root.hex()[:16]}", "m s")
        drawing.text(540, y + 36, f"hash {block.hash.hex()[:16]}", "m s b")
        for i, entry in enumerate(shown):
            line = y + 56 + 18 * i
            drawing.box(16, line - 12, 12, 12, f"c{int(entry.kind)}", hint=entry.kind.name.lower())
            data = "" if entry.data is None else entry.data[:64].decode(errors="replace")
            drawing.text(
                34, line, f"{show(entry.document)} v{entry.version}  {entry.data_hash.hex()[:8]}  {data}", "m s"
            )
        if block.count > len(shown):
            drawing.text(34, y + 56 + 18 * len(shown), f"and {block.count - len(shown):,} more", "s q")
        y += high + 12
    if left_out:
        drawing.text(16, y + 12, f"{left_out:,} more blocks", "q")
    return drawing.svg()
