"""The tour in a terminal: headings, the lines of code, small tables, plan trees, progress bars.

Everything goes through one rich Console, so that colours, widths and progress bars follow the terminal, or are left out
where the output is a file or a pipe. Text that came from data is never read as markup.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console
from rich.padding import Padding
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.rule import Rule
from rich.syntax import Syntax
from rich.table import Table as Grid
from rich.text import Text

from engines.display import Plan, Table
from engines.text import grouped, is_number, printable
from engines.text import show as shown
from engines.tour.chapter import Chapter, Check, Part, Picture, Question, Remark, Tree, duration

PYTHON = Syntax("", "python", theme="ansi_dark", background_color="default")
READ_NEXT = """python -P -c "help('engines.kv')\""""  # -P: what is installed, also in the folder of its source
ROWS = 6  # of an answer in the terminal; the page shows more


class Show:
    """Where the tour is told. console: where to print, the standard output if it is left out."""

    def __init__(self, console: Console | None = None) -> None:
        self.console = console or Console(highlight=False)

    def title(self, words: str, below: str) -> None:
        self.console.print(Text(words, style="bold"))
        self.console.print(Text(below, style="dim"))

    def open(self, chapter: Chapter) -> None:
        """Begin a chapter: its name, its kind and its idea."""
        self.console.print()
        self.console.print(
            Rule(Text.assemble((chapter.name, "bold cyan"), " · ", chapter.kind), align="left", style="cyan")
        )
        self.console.print(Text(chapter.idea))

    def say(self, words: str) -> None:
        self.console.print(Text(words))

    def add(self, chapter: Chapter, part: Part) -> None:
        """Put a part into the chapter and print it. Pictures are for the page alone."""
        chapter.parts.append(part)
        match part:
            case Question():
                self._question(part)
            case Remark():
                self.console.print(Text.assemble((f"{part.heading}: ", "bold"), part.words))
            case Tree():
                self._tree(part.plan)
            case Picture():
                pass

    @contextmanager
    def progress(self, what: str, total: int, unit: str) -> Iterator[Callable[[int], None]]:
        """Show a bar while the block runs; call what is yielded with the units done since the last call."""
        columns = (
            TextColumn("{task.description}"),
            BarColumn(32),
            MofNCompleteColumn(),
            TextColumn(unit),
            TimeElapsedColumn(),
        )
        with Progress(*columns, console=self.console, transient=True, disable=not self.console.is_terminal) as bars:
            task = bars.add_task(what, total=total)
            yield lambda done: bars.advance(task, done)

    def close(self, checks: Sequence[Check], html: Path, seconds: float) -> None:
        """End the tour: how many known answers were right, each one that was not, and where to go on."""
        wrong = [check for check in checks if not check.right]
        self.console.print()
        self.console.print(Rule(style="cyan"))
        for check in wrong:
            words = f"wrong: {check.what}: expected {grouped(check.expected)}, found {grouped(check.found)}"
            self.console.print(Text(words, style="red"))
        count = f"{len(checks) - len(wrong)} of {len(checks)} known answers are right"
        self.console.print(Text.assemble((count, "bold red" if wrong else "bold green"), f", {duration(seconds)}"))
        self.console.print(Text(f"the same with pictures: {html}"), soft_wrap=True)
        self.console.print(Text(f"read next: {READ_NEXT}"))

    def _question(self, question: Question) -> None:
        time = Text(duration(question.seconds), style="green")
        line = Grid.grid(padding=(0, 0, 0, 1), expand=True)
        line.add_column(ratio=1)
        line.add_column(justify="right", no_wrap=True)
        line.add_row(Text(question.words, style="bold"), time)
        self.console.print(line)
        code = PYTHON.highlight(question.code)
        code.rstrip()
        self.console.print(Padding(code, (0, 0, 0, 2)))
        if len(question.answer):
            self.console.print(Padding(grid(question.answer), (0, 0, 0, 2)))

    def _tree(self, plan: Plan) -> None:
        for line in str(plan).splitlines():
            words = line.lstrip("│├└─ ")
            rail = len(line) - len(words)  # a long step goes on below its own beginning
            step = Grid.grid()
            step.add_row(Text("  " + line[:rail], style="dim"), Text(words, style="dim"))
            self.console.print(step)


def grid(table: Table, rows: int = ROWS) -> Grid:
    """Lay out the first rows of a table for a terminal; numbers stand right."""
    first = [list(row) for row in table[:rows]]
    drawn = Grid(box=None, pad_edge=False, header_style="dim", caption_justify="left", caption_style="dim")
    for i, name in enumerate(table.names):
        number = bool(first) and all(row[i] is None or is_number(row[i]) for row in first)
        drawn.add_column(Text(printable(name)), justify="right" if number else "left")
    for row in first:
        drawn.add_row(*(Text(shown(cell)) for cell in row))
    if len(table) > rows:
        drawn.caption = Text(f"… {len(table):,} rows")
    return drawn
