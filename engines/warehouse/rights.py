"""Statements about rights: GRANT, REVOKE, and policies of rows. What they mean is in access.py."""

from collections.abc import Callable
from typing import Any, Final

import msgspec

from engines.display import Table
from engines.errors import NotFound, QueryError, nearest
from engines.sql import front
from engines.warehouse.access import Access, Policy
from engines.warehouse.commit import Transaction
from engines.warehouse.running import Running, done
from engines.warehouse.statements import records


def set_rules(transaction: Transaction, change: Callable[[Access], Access]) -> None:
    """Other rules, made of the present ones."""
    transaction.change(lambda root: msgspec.structs.replace(root, access=change(root.access)))


def _columns(running: Running, name: str) -> list[str]:
    """The columns of whatever has this name. NotFound if nothing has."""
    try:
        return running.session.columns_of(name, running.session.names.owner)
    except QueryError as error:
        raise NotFound(f"there is no table {name!r}{nearest(name, running.session.names.names())}") from error


def grant(running: Running, record: records.Grant) -> Table:
    """GRANT and REVOKE SELECT."""
    with running.session.change() as transaction:
        every = _columns(running, record.name)
        for column in record.columns:
            if column not in every:
                raise NotFound(f"{record.name!r} has no column {column!r}{nearest(column, every)}")
        if record.give:
            set_rules(transaction, lambda access: access.grant(record.name, record.user, record.columns))
        else:
            set_rules(transaction, lambda access: access.revoke(record.name, record.user, record.columns, every))
    return done("GRANT" if record.give else "REVOKE")


def create_policy(running: Running, record: records.CreatePolicy) -> Table:
    """CREATE RLS POLICY: its condition must be one over its columns."""
    columns = {column.name: (column.name, column.type) for column in record.columns}
    bound = front.bind_expression(
        record.using.strip(), columns, running.engine.dialect, catalog=running.session.names.owner
    )
    if bound.type.kind != "boolean":
        raise running.error(f"USING takes a condition (BOOLEAN), this is {bound.type}")
    policy = Policy(tuple((column.name, column.type) for column in record.columns), record.using.strip())
    with running.session.change() as transaction:
        set_rules(transaction, lambda access: access.create(record.name, policy))
    return done("CREATE RLS POLICY")


def attach_policy(running: Running, record: records.AttachPolicy) -> Table:
    """ATTACH and DETACH RLS POLICY."""
    with running.session.change() as transaction:
        if record.attach:
            columns = _columns(running, record.table)
            set_rules(transaction, lambda access: access.attach(record.policy, record.table, record.user, columns))
        else:
            set_rules(transaction, lambda access: access.detach(record.policy, record.table, record.user))
    return done("ATTACH RLS POLICY" if record.attach else "DETACH RLS POLICY")


HANDLERS: Final[dict[type, Any]] = {
    records.Grant: grant,
    records.CreatePolicy: create_policy,
    records.AttachPolicy: attach_policy,
}
