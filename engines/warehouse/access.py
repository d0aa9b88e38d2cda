"""Who may read what: grants of tables and columns, and policies that filter rows.

    GRANT SELECT (name, city) ON customer TO bob            columns that a user sees; the others are not there for him
    CREATE RLS POLICY mine WITH (seller VARCHAR) USING (seller = current_user)
    ATTACH RLS POLICY mine ON sales TO ROLE bob, or PUBLIC
    ALTER TABLE sales ROW LEVEL SECURITY ON                 rows for which all his policies are true; without one, none

Nothing of this reaches storage or execution. Under a table's name a restricted user finds a view, which reads the table
with its owner's rights, so the planner pushes a policy down to the zone maps like any other condition:

    sales, asked for by bob   =   SELECT item, price FROM sales WHERE (seller = current_user)

His own conditions come after those of the policy: an error in one of them (1 / (price - 7), a cast) would else tell him
of rows that he must not see. A condition that compares a column can go first, as it has no errors. A policy with a
subquery becomes a join, and a view hides rows in ways that nobody knows: both are fenced by an OFFSET 0, through which
no condition goes. What is left to guess from are counters: EXPLAIN ANALYZE says how many blocks were pruned.

Whoever opens the folder owns everything: `session(user=...)` restricts what a program hands on, it is no lock.
Rules are part of the catalogue, so they are committed, rolled back, snapshotted and restored with the tables.

Simpler than the service: users are names, roles are users, and SELECT is the only right that is granted.
"""

import re
from collections.abc import Callable, Iterable
from typing import Final, TypeVar

import msgspec

from engines.errors import AlreadyExists, Denied, Invalid, NotFound, listed, nearest
from engines.sql.types import Type

OWNER: Final = "admin"  # what a session without a user is called
PUBLIC: Final = "public"
Rule = TypeVar("Rule")


class Policy(msgspec.Struct, frozen=True):
    """A condition on rows. columns: those that a table must have to get it."""

    columns: tuple[tuple[str, Type], ...]
    using: str


class Access(msgspec.Struct, frozen=True, omit_defaults=True):
    """All rules of a warehouse. attached: table -> (policy, user); grants: table -> user -> columns, () for all."""

    policies: dict[str, Policy] = {}
    attached: dict[str, tuple[tuple[str, str], ...]] = {}
    secured: tuple[str, ...] = ()
    grants: dict[str, dict[str, tuple[str, ...]]] = {}

    # -- each of these gives other rules

    def create(self, name: str, policy: Policy) -> "Access":
        if name in self.policies:
            raise AlreadyExists(f"there is a policy {name!r} already: drop it, or name another", name=name)
        return msgspec.structs.replace(self, policies={**self.policies, name: policy})

    def drop(self, name: str) -> "Access":
        """Invalid while a table has it."""
        self.policy(name)
        tables = [table for table, pairs in self.attached.items() if any(policy == name for policy, _ in pairs)]
        if tables:
            raise Invalid(f"policy {name!r} is attached to {listed(tables)}: DETACH it first")
        return msgspec.structs.replace(self, policies={key: one for key, one in self.policies.items() if key != name})

    def policy(self, name: str) -> Policy:
        if name not in self.policies:
            raise NotFound(f"there is no policy {name!r}{nearest(name, self.policies)}")
        return self.policies[name]

    def attach(self, name: str, table: str, user: str, columns: Iterable[str]) -> "Access":
        """columns: those of the table."""
        missing = {column for column, _ in self.policy(name).columns} - set(columns)
        if missing:
            raise Invalid(f"policy {name!r} needs {listed(sorted(missing))}, which {table!r} does not have")
        pairs = self.attached.get(table, ())
        if (name, user) in pairs:
            raise AlreadyExists(f"policy {name!r} is attached to {table!r} for {user} already", name=name)
        return msgspec.structs.replace(self, attached={**self.attached, table: (*pairs, (name, user))})

    def detach(self, name: str, table: str, user: str) -> "Access":
        pairs = self.attached.get(table, ())
        if (name, user) not in pairs:
            raise NotFound(f"policy {name!r} is not attached to {table!r} for {user}")
        left = tuple(pair for pair in pairs if pair != (name, user))
        return msgspec.structs.replace(self, attached={**self.attached, table: left})

    def secure(self, table: str, *, on: bool) -> "Access":
        others = tuple(one for one in self.secured if one != table)
        return msgspec.structs.replace(self, secured=(*others, table) if on else others)

    def grant(self, table: str, user: str, columns: tuple[str, ...]) -> "Access":
        """More columns than before; none named: all."""
        before = self.grants.get(table, {})
        if columns and user in before:
            columns = tuple(dict.fromkeys((*before[user], *columns))) if before[user] else ()
        return msgspec.structs.replace(self, grants={**self.grants, table: {**before, user: columns}})

    def revoke(self, table: str, user: str, columns: tuple[str, ...], every: Iterable[str]) -> "Access":
        """every: all columns of the table. None named: all."""
        before = self.grants.get(table, {})
        if user not in before:
            raise NotFound(f"{user} has no SELECT on {table!r}{nearest(user, before)}")
        left = tuple(column for column in before[user] or every if column not in columns) if columns else ()
        others = {other: held for other, held in before.items() if other != user}
        return msgspec.structs.replace(self, grants={**self.grants, table: {**others, user: left} if left else others})

    def renamed(self, table: str, to: str) -> "Access":
        """The rules of a table that has another name now."""
        return self._keyed(lambda name: to if name == table else name)

    def dropped(self, table: str) -> "Access":
        """Without the rules of a table that is gone."""
        return self._keyed(lambda name: None if name == table else name)

    def column_renamed(self, table: str, column: str, to: str) -> "Access":
        """Grants go with a column, not with its name. Invalid where a policy reads it by name."""
        self._refuse_read(table, column)
        held = self.grants.get(table, {})
        moved = {user: tuple(to if one == column else one for one in columns) for user, columns in held.items()}
        return msgspec.structs.replace(self, grants={**self.grants, table: moved}) if held else self

    def column_dropped(self, table: str, column: str) -> "Access":
        """A column that comes later and has its name is another one. Invalid where a policy reads it."""
        self._refuse_read(table, column)
        held = self.grants.get(table, {})
        left = {user: tuple(one for one in columns if one != column) for user, columns in held.items()}
        left = {user: columns for user, columns in left.items() if columns or not held[user]}
        return msgspec.structs.replace(self, grants={**self.grants, table: left}) if held else self

    def _refuse_read(self, table: str, column: str) -> None:
        for policy, _ in self.attached.get(table, ()):
            if any(column == one for one, _ in self.policies[policy].columns):
                raise Invalid(f"policy {policy!r} reads column {column!r} of {table!r}: DETACH it first")

    def _keyed(self, place: Callable[[str], str | None]) -> "Access":
        def moved(rules: dict[str, Rule]) -> dict[str, Rule]:
            return {to: rule for name, rule in rules.items() if (to := place(name)) is not None}

        secured = tuple(to for name in self.secured if (to := place(name)) is not None)
        return msgspec.structs.replace(self, attached=moved(self.attached), grants=moved(self.grants), secured=secured)

    # -- what they mean

    def may_read(self, table: str, user: str) -> bool:
        """Whether any column was granted to a user."""
        grants = self.grants.get(table, {})
        return user in grants or PUBLIC in grants

    def columns(self, table: str, user: str, every: Iterable[str]) -> tuple[str, ...]:
        """The columns that a user may read. Denied if there are none."""
        grants = self.grants.get(table, {})
        held = [grants[name] for name in (user, PUBLIC) if name in grants]
        if not held:
            raise Denied(f"{user} may not read {table!r}: GRANT SELECT ON {table} TO {user}")
        if () in held:
            return tuple(every)
        return tuple(column for column in every if any(column in columns for columns in held))

    def conditions(self, table: str, user: str) -> list[str]:
        """What rows must fulfil for a user: all of them. FALSE where security is on and no policy is his."""
        if table not in self.secured:
            return []
        mine = [name for name, whose in self.attached.get(table, ()) if whose in (user, PUBLIC)]
        return [self.policies[name].using.strip() for name in dict.fromkeys(mine)] or ["FALSE"]

    def view(self, table: str, user: str, every: Iterable[str], *, fenced: bool = False) -> str:
        """The query that a user finds under a table's name. fenced: see the module's text."""
        columns = ", ".join(quoted(column) for column in self.columns(table, user, every))
        conditions = self.conditions(table, user)
        where = " AND ".join(f"({condition}\n)" for condition in conditions)  # a comment ends with its line
        fenced = fenced or any(re.search(r"\bselect\b", condition, re.IGNORECASE) for condition in conditions)
        text = f"SELECT {columns} FROM {quoted(table)}"  # noqa: S608 - names quoted, policies are SQL
        return text + (f" WHERE {where}" if where else "") + (" OFFSET 0" if fenced else "")


def quoted(name: str) -> str:
    """A name, with its schema if it has one, as SQL takes it whatever letters it has."""
    return ".".join('"' + part.replace('"', '""') + '"' for part in name.split("."))
