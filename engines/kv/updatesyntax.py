"""Update expressions as text: a parser that makes a small immutable tree. updates.py gives it meaning.

    update    SET path = right, ... | REMOVE path, ... | ADD path :value, ... | DELETE path :set, ...
              each clause at most once, in any order, keywords in any case
    right     operand | operand + operand | operand - operand       also in one pair of parentheses, as any operand may
    operand   path | :value | if_not_exists(path, operand) | list_append(operand, operand)

Tokens, paths and operands are read as in conditions (syntax.py); only the functions are others. One + or - is all that
a right side has, and list_append is an operand of nothing: the service wants it so.

Where a mistake shows what was meant (a += :v, a comma too few or too many, ADD a = :v), the error says how to write it.
"""

from dataclasses import dataclass, field
from functools import lru_cache, partial

from engines.errors import Invalid, nearest
from engines.kv.projections import names_of
from engines.kv.syntax import CONDITION_FUNCTIONS, Call, Operand, Parser, Path, Value, checked

CLAUSES = ("SET", "REMOVE", "ADD", "DELETE")
UPDATE_FUNCTIONS = {"if_not_exists": 2, "list_append": 2}


# --- the tree ---


@dataclass(frozen=True, slots=True)
class Arithmetic:
    """left + right, or left - right."""

    operator: str
    left: Operand
    right: Operand
    at: int = field(compare=False)

    def __str__(self) -> str:
        return f"{self.left} {self.operator} {self.right}"


Right = Operand | Arithmetic


@dataclass(frozen=True, slots=True)
class Action:
    """One change of a clause. right is None for REMOVE, and a :value for ADD and DELETE."""

    clause: str
    path: Path
    right: Right | None

    def __str__(self) -> str:
        sign = " = " if self.clause == "SET" else " "
        return str(self.path) if self.right is None else f"{self.path}{sign}{self.right}"


@dataclass(frozen=True, slots=True)
class UpdateTree:
    """A whole update: its actions, and the #names and :values they use, each once."""

    actions: tuple[Action, ...]
    names: tuple[str, ...]
    values: tuple[str, ...]

    def __str__(self) -> str:
        clauses = dict.fromkeys(action.clause for action in self.actions)
        return " ".join(
            f"{clause} {', '.join(str(action) for action in self.actions if action.clause == clause)}"
            for clause in clauses
        )


# --- grammar ---


@lru_cache(512)
def parse_update(text: str) -> UpdateTree:
    """The tree of an update, kept for the last 512 texts. QueryError, or Invalid for what is only not allowed."""
    actions = _UpdateParser(checked(text)).update()
    operands = [operand for action in actions for operand in _operands(action.right)]
    paths = [*(action.path for action in actions), *(operand for operand in operands if isinstance(operand, Path))]
    values = dict.fromkeys(operand.name for operand in operands if isinstance(operand, Value))
    return UpdateTree(actions, names_of(paths), tuple(values))


def _operands(right: Right | None) -> list[Path | Value]:
    match right:
        case Arithmetic():
            return [*_operands(right.left), *_operands(right.right)]
        case Call():
            return [operand for argument in right.arguments for operand in _operands(argument)]
        case None:
            return []
    return [right]


class _UpdateParser(Parser):
    functions = UPDATE_FUNCTIONS

    def update(self) -> tuple[Action, ...]:
        actions: list[Action] = []
        seen: set[str] = set()
        while self.token.kind != "end":
            clause = self.clause(actions)
            if clause in seen:
                raise Invalid(f"an update has {clause} once, with commas between its parts; here it stands twice")
            seen.add(clause)
            actions += self.separated(partial(self.action, clause))
        return tuple(actions)

    def clause(self, before: list[Action]) -> str:
        token = self.token
        if token.keyword in CLAUSES:
            self.index += 1
            return token.keyword
        if not before:
            hint = nearest(token.keyword, CLAUSES).removeprefix("; ")
            after = "" if token.kind == "end" else self.tokens[self.index + 1].text
            if after in ("=", ".", "["):
                hint = f"write SET {self.text.strip()}"
            elif after in ("+", "-"):
                hint = f"write SET {token.text} = {token.text} {after} :value"
            self.fail(f"an update begins with SET, REMOVE, ADD or DELETE, {self.found()}", hint=hint)
        return self.fail(f"expected a comma, another clause or the end, {self.found()}", hint=self.hint(before[-1]))

    def hint(self, last: Action) -> str:
        """What may have been meant, where an action is over and yet something follows."""
        token = self.token
        if token.kind in ("word", "name"):
            return f"is a comma missing between {last} and {token.text}?"
        if isinstance(last.right, Arithmetic) and token.text in ("+", "-"):
            return "a right side has at most one + or -: add up the constants before"
        if last.clause == "REMOVE":
            return "REMOVE takes paths alone: to take elements from a set write DELETE path :set"
        return ""

    def action(self, clause: str) -> Action:
        if self.token.kind == "value":
            self.fail(f"{clause} changes an attribute, and {self.token.text} is a constant", hint="write a path first")
        path = self.path()
        if clause == "REMOVE":
            return Action(clause, path, None)
        if clause == "SET":
            self.assign(path)
            return Action(clause, path, self.right())
        token = self.token
        if token.kind != "value":
            hint = f"{clause} takes no =: write {clause} {path} :value" if token.text == "=" else ""
            self.fail(f"{clause} {path} needs a :value, {self.found()}", hint=hint)
        self.index += 1
        return Action(clause, path, Value(token.text, token.at))

    def assign(self, path: Path) -> None:
        sign, after = self.token, self.tokens[min(self.index + 1, len(self.tokens) - 1)]
        hint = ""
        if sign.text in ("+", "-") and after.text == "=":
            hint = f"write SET {path} = {path} {sign.text} :value"
        elif sign.kind == "value":
            hint = f"write SET {path} = {sign.text}, or ADD {path} {sign.text}"
        elif sign.text == "(":
            hint = "a function stands on the right of ="
        if sign.text != "=":
            self.fail(f"expected '=' after SET {path}, {self.found()}", hint=hint)
        self.index += 1

    def right(self) -> Right:
        if self.token.text == "(":
            self.descend()
            left = self.grouped(self.right)
            self.depth -= 1
        else:
            left = self.operand()
        if self.token.text not in ("+", "-"):
            return left
        if isinstance(left, Arithmetic):  # (a + b) + c; of a + b + c the second + is found where the action should end
            self.fail(f"({left}) can not be an operand, {self.found()}", hint="a right side has at most one + or -")
        return self.added(left)

    def added(self, left: Operand) -> Arithmetic:
        token = self.token
        self.index += 1
        self.count(token)
        right = self.operand()
        for operand in (left, right):
            if isinstance(operand, Call) and operand.function == "list_append":
                raise Invalid(f"{token.text} takes numbers, and {operand} is a list")
        return Arithmetic(token.text, left, right, token.at)

    def operand(self) -> Operand:
        token = self.token
        if token.text == "(":
            self.descend()
            node = self.grouped(self.operand)
            self.depth -= 1
            return node
        if token.text == "-":
            self.fail("expected an attribute, a :value or a function, found '-'", hint="put the sign into the :value")
        if token.kind == "word" and token.text in CONDITION_FUNCTIONS and self.tokens[self.index + 1].text == "(":
            raise Invalid(f"{token.text} is a function of conditions: an update has {' and '.join(UPDATE_FUNCTIONS)}")
        return super().operand()

    def check_call(self, call: Call) -> None:
        for argument in call.arguments:
            if isinstance(argument, Call) and argument.function == "list_append":
                raise Invalid(f"list_append can not be an argument of {call.function}: append to one list at a time")
        if call.function == "if_not_exists" and not isinstance(call.arguments[0], Path):
            raise Invalid(f"the first argument of if_not_exists is an attribute, got {call.arguments[0]}")

    def name(self) -> str:
        token, after_comma = self.token, self.tokens[self.index - 1].text == ","
        if token.kind == "end" and after_comma:
            self.fail(
                "expected the name of an attribute, but the expression ends here", hint="leave out the last comma"
            )
        if token.keyword in CLAUSES:
            hint = f"an attribute of that name is written #{token.text}, with names"
            if after_comma:
                hint = f"leave out the comma before {token.text}; {hint}"
            self.fail(f"{token.text} begins a clause, and an attribute should stand here", hint=hint)
        return super().name()
