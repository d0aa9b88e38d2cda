"""PartiQL as text: a parser that makes a small immutable tree (tree.py). partiql.py gives it meaning.

    statement   SELECT * | path, ... FROM table[.index] [WHERE condition] [ORDER BY key [ASC | DESC], ...]
                INSERT INTO table VALUE {'name': value, ...}
                UPDATE table (SET path = right, ... | REMOVE path, ...)... WHERE condition [RETURNING what *]
                DELETE FROM table WHERE condition [RETURNING ALL OLD *]
                EXISTS(SELECT ...)                                           in a transaction
    condition   as in syntax.py, and: != | a NOT IN, NOT BETWEEN | a IS [NOT] MISSING, NULL, STRING, NUMBER, ...
    right       operand | operand + operand | operand - operand | list_append(operand, operand)
                set_add(path, <<...>>) | set_delete(path, <<...>>)           path is the one on the left
    operand     path | value | size(path)
    path        name, then .name or [index]; a name is a word, or anything "in double quotes"
    value       'text', it''s | 12.5 | TRUE | NULL | {'name': value} | [value, ...] | <<value, ...>> | ?

Names become placeholders as they are read, and so do values (conditions.py): what a statement names or holds can
never be taken for a part of an expression. A ? keeps its number. So a tree depends on the text alone, and is cached.

Less strict than the service: of its reserved words only those of this grammar have to be quoted.
"""

from functools import lru_cache
from typing import TYPE_CHECKING

from engines.errors import Invalid, nearest
from engines.kv.partiql.conditions import ConditionParser
from engines.kv.partiql.tree import Body, Delete, Exists, Insert, Order, Select, Statement, Target, Update
from engines.kv.syntax import CONDITION_FUNCTIONS, Call, Condition, Path, Token, Value
from engines.kv.updatesyntax import Action, Arithmetic

if TYPE_CHECKING:
    from collections.abc import Callable

STATEMENT_LENGTH = 8192  # characters
_LATER = {
    "LIMIT": "leave it out and pass limit=",
    "OFFSET": "pass the last_key of the page before as start=",
    "GROUP": "there are no groups: read the items and count them",
    "JOIN": "there are no joins: read the other table by key",
    "AS": "attributes keep their names",
    ",": "there are no joins: read the other table by key",
    "VALUES": "one item a statement: VALUE {'name': ...}",
    "ORDER": "ORDER BY comes last, after WHERE, and only in SELECT",
    "WHERE": "WHERE stands once, before ORDER BY and RETURNING",
}
_CHANGING = {"list_append": 2, "set_add": 2, "set_delete": 2}


class _StatementParser(ConditionParser):
    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.where_at = 0

    def end(self) -> None:
        if self.token.kind != "end":
            self.fail(f"the statement should end here, {self.found()}", hint=_LATER.get(self.token.keyword, ""))

    # statements

    def statement(self) -> Body:
        kinds: dict[str, Callable[[], Body]] = {
            "SELECT": self.select,
            "INSERT": self.insert,
            "UPDATE": self.update,
            "DELETE": self.delete,
            "EXISTS": self.exists,
        }
        word = self.token.keyword
        if word not in kinds:
            hint = nearest(word, kinds).removeprefix("; ")
            self.fail(f"a statement begins with SELECT, INSERT, UPDATE or DELETE, {self.found()}", hint=hint)
        self.index += 1
        body = kinds[word]()
        self.end()
        return body

    def select(self) -> Select:
        paths: list[Path] = []
        if self.token.text == "*":
            self.index += 1
        else:
            paths = self.separated(self.shown_path)
        self.take("FROM")
        target = self.target(index=True)
        where = self.where() if self.token.keyword == "WHERE" else None
        order: list[Order] = []
        if self.token.keyword == "ORDER":
            self.index += 1
            self.take("BY")
            order = self.separated(self.order)
        return Select(target, tuple(paths), where, tuple(order))

    def shown_path(self) -> Path:
        if self.token.kind == "word" and self.tokens[self.index + 1].text == "(":
            hint = f"for all attributes write *, and apply {self.token.text} to what comes back"
            self.fail(f"SELECT takes attributes, {self.found()}", hint=hint)
        return self.path()

    def order(self) -> Order:
        path = self.path()
        descending = self.token.keyword == "DESC"
        self.index += self.token.keyword in ("ASC", "DESC")
        return Order(path, descending)

    def insert(self) -> Insert:
        self.take("INTO")
        target = self.target()
        if self.token.keyword != "VALUE":
            self.fail(f"expected 'VALUE', {self.found()}", hint="one item a statement: VALUE {'name': ...}")
        self.index += 1
        if self.token.text not in ("{", "?"):
            self.fail(f"an item is a map or a ?, {self.found()}", hint="write VALUE {'name': ...}")
        return Insert(target, self.literal())

    def update(self) -> Update:
        target = self.target()
        actions: list[Action] = []
        self.functions = _CHANGING
        while not actions or self.token.keyword in ("SET", "REMOVE"):
            read = self.assignment if self.take("SET", "REMOVE").keyword == "SET" else self.removal
            actions += self.separated(read)
        self.functions = CONDITION_FUNCTIONS
        where = self.one_item("UPDATE")
        return Update(
            target, tuple(actions), where, self.returning("ALL OLD", "MODIFIED OLD", "ALL NEW", "MODIFIED NEW")
        )

    def removal(self) -> Action:
        return Action("REMOVE", self.path(), None)

    def assignment(self) -> Action:
        path = self.path()
        self.take("=")
        if self.token.keyword == "MISSING":
            self.fail(f"{path} can not be set to MISSING", hint=f"write REMOVE {path}")
        token, left = self.token, self.operand()
        if isinstance(left, Call) and left.function != "list_append":
            return self.set_change(path, left, token)
        if self.token.text not in ("+", "-"):
            return Action("SET", path, left)
        sign = self.take("+", "-")
        right = self.operand()
        if isinstance(left, Call) or isinstance(right, Call):
            self.fail(f"{sign.text} takes numbers, {left} {sign.text} {right} has a function", sign)
        return Action("SET", path, Arithmetic(sign.text, left, right, sign.at))

    def set_change(self, path: Path, call: Call, token: Token) -> Action:
        where, elements = call.arguments
        if where != path or not isinstance(elements, Value):
            self.fail(f"{call} has to be {path} = {call.function}({path}, <<...>>)", token)
        return Action("ADD" if call.function == "set_add" else "DELETE", path, elements)

    def delete(self) -> Delete:
        self.take("FROM")
        return Delete(self.target(), self.one_item("DELETE"), self.returning("ALL OLD"))

    def exists(self) -> Exists:
        self.take("(")
        self.take("SELECT")
        select = self.select()
        self.take(")")
        return Exists(select)

    # clauses

    def target(self, *, index: bool = False) -> Target:
        at = self.token.at
        self.where_at = at
        table, name = self.identifier(), None
        if self.token.text == "-":
            self.fail(f"a name with '-' stands in double quotes, {self.found()}")
        if self.token.text == ".":
            if not index:
                self.fail("items are written to tables, indexes follow by themselves", hint=f'write "{table}" alone')
            self.index += 1
            name = self.identifier()
        return Target(table, name, at)

    def one_item(self, word: str) -> Condition:
        if self.token.keyword != "WHERE":
            self.fail(f"{word} needs WHERE with the key of one item, {self.found()}")
        return self.where()

    def where(self) -> Condition:
        self.where_at = self.take("WHERE").at
        return self.condition()

    def returning(self, *allowed: str) -> str:
        if self.token.keyword != "RETURNING":
            return "NONE"
        self.index += 1
        token = self.token
        words = f"{self.take('ALL', 'MODIFIED').keyword} {self.take('OLD', 'NEW').keyword}"
        if words not in allowed:
            self.fail(f"what can be returned here is {' *, '.join(allowed)} *, got {words}", token)
        self.take("*")
        return words.replace(" ", "_").replace("MODIFIED", "UPDATED")


@lru_cache(512)
def parse_statement(text: str) -> Statement:
    """The tree of a statement, kept for the last 512 texts. QueryError for grammar, Invalid for limits."""
    if len(text) > STATEMENT_LENGTH:
        raise Invalid(f"a statement has at most {STATEMENT_LENGTH:,} characters, got {len(text):,}: use parameters")
    parser = _StatementParser(text)
    body = parser.statement()
    names = {placeholder: name for name, placeholder in parser.names.items()}
    return Statement(text, body, names, parser.literals, parser.shown, parser.parameters, parser.where_at)
