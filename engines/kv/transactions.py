"""Several actions at once: transactions, which happen as a whole or not at all, and batches, which do not.

A transaction of writes is one frame in the log (journal.py), so nothing ever has to be rolled back: under the store's
lock every condition is evaluated and every new image made first; then the frame is appended and applied. Whoever reads
sees all of it or nothing, and so does whoever opens the store after a crash.

With a token a transaction happens once: for ten minutes the same token with the same actions does nothing more, which
makes it safe to try again after a lost answer (tokens.py).

Simpler than DynamoDB: one lock makes transactions serial, so none is ever refused because of another.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import TYPE_CHECKING, Any

import msgspec

from engines._native.kvitem import item_size
from engines.errors import ConditionFailed, EngineError, Invalid, Throttled, TooLarge
from engines.kv.expressions import Holds, Placeholders, check_text, compile_condition
from engines.kv.page import Item, Key
from engines.kv.paying import Payments
from engines.kv.projections import Projection, only_projection
from engines.kv.records import ITEM_SHOWN, UNCHANGED, Records, Write
from engines.kv.throttle import Consumed
from engines.kv.tokens import DIGEST_BYTES, TOKEN_LENGTH, encode_token
from engines.kv.updates import Update as Change
from engines.kv.updates import compile_update
from engines.kv.values import BATCH_GETS, TRANSACTION_ACTIONS, to_dynamodb_json, to_typed

if TYPE_CHECKING:
    from engines.kv.store import Store

BATCH_WRITES = 25
TRANSACTION_BYTES, BATCH_BYTES = 4 << 20, 16 << 20

Names = Mapping[str, str] | None
Values = Mapping[str, Any] | None


@dataclass(frozen=True, kw_only=True)
class _Conditional:
    """What the writing actions share: a condition on the stored item, and its placeholders."""

    condition: str | None = None
    names: Names = None
    values: Values = None


@dataclass(frozen=True)
class Put(_Conditional):
    """Store an item in the table of this name."""

    table: str
    item: Item


@dataclass(frozen=True)
class Update(_Conditional):
    """Change an item as an update expression says. key: the key's values, in order (one by itself, or a tuple)."""

    table: str
    key: Any
    expression: str


@dataclass(frozen=True)
class Delete(_Conditional):
    """Delete the item with this key, if there is one."""

    table: str
    key: Any


@dataclass(frozen=True)
class Check(_Conditional):
    """Change nothing, but let the transaction happen only if the condition holds."""

    table: str
    key: Any


@dataclass(frozen=True)
class Get:
    """Read an item, as one moment with the other gets of a transaction."""

    table: str
    key: Any
    projection: str | None = None
    names: Names = None
    consistent: bool = False  # of a batch; in a transaction it always is


Action = Put | Update | Delete | Check


class Answers(list[Item | None]):
    """What was asked for, in order; `unprocessed` are the requests for which no capacity was left: try them again."""

    def __init__(self, items: Iterable[Item | None], unprocessed: Sequence[Any] = ()) -> None:
        super().__init__(items)
        self.unprocessed = list(unprocessed)


def key_tuple(key: Any) -> Key:  # noqa: ANN401 - a key value, or a tuple or list of them
    """A key as a tuple, however it was given."""
    return tuple(key) if isinstance(key, (tuple, list)) else (key,)


# -- writes -----------------------------------------------------------------------------------------------------------


class _Step:
    """One action, understood: nothing has been read yet."""

    def __init__(self, store: "Store", action: Action) -> None:
        self.records: Records = store.table(action.table).records
        self.write: Write | None = None
        self.change: Change | None = None
        if not isinstance(action, Check):
            self.records.check_writable()
        self.deletes = isinstance(action, Delete)
        check_text("condition", action.condition)
        placeholders = Placeholders(action.names, action.values)
        if isinstance(action, Put):
            self.write = self.records.encode(action.item)
            self.key = self.write.key
        else:
            self.key = self.records.encode_key(key_tuple(action.key))
        if isinstance(action, Update):
            if not isinstance(action.expression, str):
                raise Invalid(f"expression is an update, a text like 'SET a = :a', got {action.expression!r:.80}")
            self.change = compile_update(action.expression, placeholders, self.records.definition.key_names)
        if isinstance(action, Check) and action.condition is None:
            raise Invalid("a Check needs a condition: it does nothing else")
        self.holds: Holds | None = None
        if action.condition is not None:
            self.holds = compile_condition(action.condition, placeholders)
        placeholders.done()
        self.place = self.records.definition.id, self.key

    def read(self) -> Write | None:
        """Under the lock: evaluate, and say what is to be written. Raises what is wrong with this action."""
        records = self.records
        view = records.view(records.stored_key(self.key))
        if self.holds is None and self.change is None:
            return Write(records, self.key, None) if self.deletes else self.write
        item = records.checked(self.key, view, self.holds)
        if self.change is None:
            return Write(records, self.key, None) if self.deletes else self.write
        new = self.change.apply(item, records.key_item(self.key))
        return None if new is None else records.encode(new)


def _steps(store: "Store", actions: Sequence[Action]) -> list[_Step]:
    steps = [_Step(store, action) for action in actions]
    if len({step.place for step in steps}) < len(steps):
        raise Invalid("every action is on another item: leave one of those on the same key out")
    return steps


def _sweep(steps: Sequence[_Step]) -> None:
    """Under the lock: what is over is gone before anything is looked at."""
    for records in {id(step.records): step.records for step in steps}.values():
        records.sweep_due()


def transact_write(store: "Store", actions: Sequence[Action], token: str | None, consumed: Consumed | None) -> None:
    """All of these actions, or none; with a token once."""
    steps = _steps(store, actions)
    digest = b"" if token is None else fingerprint(actions)
    with store.tree.lock:
        if token is not None and store.tokens.seen(token, digest):
            return
        _sweep(steps)
        writes = _evaluate(steps)
        header = b"" if token is None else encode_token(token, digest)
        with Payments(consumed) as payments:
            _pay(payments, steps, writes)
            sequence = store.frames.write_together([write for write in writes if write is not None], header)
    store.log.acknowledge(sequence)
    store.checkpoint_if_due()


def _evaluate(steps: Sequence[_Step]) -> list[Write | None]:
    """What each step writes; raises one error that has a reason for each step that failed."""
    writes: list[Write | None] = []
    reasons: list[dict[str, Any] | None] = [None] * len(steps)
    first: EngineError | None = None
    for number, step in enumerate(steps):
        try:
            writes.append(step.read())
        except (ConditionFailed, Invalid, TooLarge) as error:
            failed = isinstance(error, ConditionFailed)
            code = "ConditionalCheckFailed" if failed else "ValidationError"
            message = str(error).removesuffix(UNCHANGED) + ITEM_SHOWN if failed else str(error)  # the whole says it
            reasons[number] = {"code": code, "message": message, "item": error.details.get("item")}
            if first is None or (failed and not isinstance(first, ConditionFailed)):
                first = error
    if first is not None:
        raise _cancelled(type(first), reasons, item=first.details.get("item"))
    size = sum(item_size(write.image) for write in writes if write is not None and write.image is not None)
    _check_size(size)
    return writes


def _cancelled(kind: type[EngineError], reasons: list[dict[str, Any] | None], **details: Any) -> EngineError:  # noqa: ANN401 - of the error
    said = "; ".join(f"action {number}: {reason['message']}" for number, reason in enumerate(reasons) if reason)
    error = kind(f"the transaction was cancelled, nothing was changed ({said})", reasons=reasons, **details)
    error.aws = "TransactionCanceledException"
    return error


def _pay(payments: Payments, steps: Sequence[_Step], writes: Sequence[Write | None]) -> None:
    """Twice the units of single writes. Throttled, with a reason for the action that found too few."""
    for number, (step, write) in enumerate(zip(steps, writes, strict=True)):
        records = step.records
        unchanged = records.view(records.stored_key(step.key)) if write is None else None  # a Check reads, as it were
        try:
            payments.take(records, step.key, unchanged if write is None else write.image, transaction=True)
        except Throttled as error:
            raise _throttled(number, len(steps), error) from None


def _throttled(number: int, count: int, error: Throttled) -> EngineError:
    """The transaction's error where one action of it found no units."""
    reasons: list[dict[str, Any] | None] = [None] * count
    reasons[number] = {"code": "ThrottlingError", "message": str(error), "item": None}
    return _cancelled(Throttled, reasons, retry_after=error.details.get("retry_after"))


# -- reads ------------------------------------------------------------------------------------------------------------


def read_together(store: "Store", gets: Sequence[Get], consumed: Consumed | None, *, transaction: bool) -> Answers:
    """The items at one moment."""
    asked: list[tuple[Records, bytes, Projection | None]] = []
    for get in gets:
        projection = only_projection(get.projection, get.names)
        records = store.table(get.table).records
        asked.append((records, records.encode_key(key_tuple(get.key)), projection))
    if len({(records.definition.id, key) for records, key, _ in asked}) < len(asked):
        raise Invalid("every key is asked for once: leave the second one out")
    with store.tree.lock:
        answers = _read_all(asked, consumed) if transaction else _read_each(gets, asked, consumed)
    if transaction or any(get.consistent for get in gets):
        store.log.sync()
    return answers


def _read_all(asked: Sequence[tuple[Records, bytes, Projection | None]], consumed: Consumed | None) -> Answers:
    """A transaction: all of them are read, or Throttled."""
    size = 0
    for number, (records, key, _) in enumerate(asked):
        stored_key = records.stored_key(key)
        try:
            records.check_read(stored_key)
        except Throttled as error:
            raise _throttled(number, len(asked), error) from None
        size += 0 if (view := records.view(stored_key)) is None else item_size(view)
    _check_size(size)
    items: list[Item | None] = []
    for records, key, projection in asked:
        item = records.read_paying(key, consumed, consistent=True, transaction=True, may_read=True)
        items.append(item if item is None or projection is None else projection.pick(item))
    return Answers(items)


def _read_each(
    gets: Sequence[Get], asked: Sequence[tuple[Records, bytes, Projection | None]], consumed: Consumed | None
) -> Answers:
    """A batch: what no units or no room is left for is left undone."""
    items: list[Item | None] = []
    unprocessed: list[Get] = []
    waits: list[Any] = []
    size = 0
    for get, (records, key, projection) in zip(gets, asked, strict=True):
        item = None
        view = records.view(records.stored_key(key))
        size += 0 if view is None else item_size(view)
        if size > BATCH_BYTES:
            unprocessed.append(get)
        else:
            try:
                item = records.read_paying(key, consumed, consistent=get.consistent)
            except Throttled as error:
                unprocessed.append(get)
                waits.append(error.details["retry_after"])
        items.append(item if item is None or projection is None else projection.pick(item))
    if len(waits) == len(gets):
        raise _none_left("read", waits)
    return Answers(items, unprocessed)


def _check_size(size: int) -> None:
    if size > TRANSACTION_BYTES:
        raise TooLarge(
            f"a transaction holds at most {TRANSACTION_BYTES:,} bytes of items, got {size:,}: use several",
            size=size,
            limit=TRANSACTION_BYTES,
        )


def transact(
    store: "Store", actions: Sequence[Action | Get], token: str | None, consumed: Consumed | None
) -> Answers | None:
    """See Store.transact."""
    actions = _listed(actions)
    if not 1 <= len(actions) <= TRANSACTION_ACTIONS:
        raise Invalid(f"a transaction has 1 to {TRANSACTION_ACTIONS} actions, got {len(actions)}")
    gets = [action for action in actions if isinstance(action, Get)]
    if len(gets) == len(actions):
        if token is not None:
            raise Invalid("a token makes writes happen once; gets can simply be repeated: leave it out")
        return read_together(store, gets, consumed, transaction=True)
    writes = [action for action in actions if isinstance(action, Action)]
    if len(writes) < len(actions):
        raise Invalid("the actions of a transaction are kv.Put, Update, Delete, Check, or all of them kv.Get")
    if token is not None and not (isinstance(token, str) and 1 <= len(token) <= TOKEN_LENGTH and token.isascii()):
        raise Invalid(f"a token is a text of 1 to {TOKEN_LENGTH} ASCII characters, got {token!r:.80}")
    transact_write(store, writes, token, consumed)
    return None


def _listed(given: Iterable[Any]) -> list[Any]:
    if not isinstance(given, Iterable) or isinstance(given, (str, bytes, Mapping)):
        raise Invalid(f"a list of actions is wanted, like [kv.Put(...), kv.Delete(...)], got {given!r:.80}")
    return list(given)


def batch_get(store: "Store", requests: Iterable[Any], consumed: Consumed | None) -> Answers:
    """See Store.batch_get."""
    if isinstance(requests, Mapping):
        raise Invalid(
            f"a batch is asked for with a list of (table name, key) pairs, like [('orders', ('ann', 17))], "
            f"got {requests!r:.80} (kv.request(store, 'BatchGetItem', ...) takes boto3's dicts)"
        )
    gets = [as_get(request) for request in _listed(requests)]
    if not 1 <= len(gets) <= BATCH_GETS:
        raise Invalid(f"a batch reads 1 to {BATCH_GETS} items, got {len(gets)}")
    return read_together(store, gets, consumed, transaction=False)


def as_get(request: object) -> Get:
    """A request of batch_get, however it was given."""
    if isinstance(request, Get):
        return request
    if not isinstance(request, (tuple, list)) or len(request) != 2 or not isinstance(request[0], str):
        raise Invalid(f"a batch is asked for with (table name, key) pairs or kv.Get, got {request!r:.80}")
    return Get(request[0], request[1])


def batch_write(store: "Store", actions: Iterable[Put | Delete], consumed: Consumed | None) -> list[Put | Delete]:
    """See Store.batch_write."""
    actions = _listed(actions)
    if not 1 <= len(actions) <= BATCH_WRITES:
        raise Invalid(f"a batch writes 1 to {BATCH_WRITES} items, got {len(actions)}: use batch_writer() for more")
    for action in actions:
        if not isinstance(action, (Put, Delete)) or action.condition is not None:
            raise Invalid("a batch is made of kv.Put and kv.Delete without conditions: use transact() for others")
    steps = _steps(store, actions)
    with store.tree.lock:
        _sweep(steps)
        with Payments(consumed) as payments:
            done, unprocessed = _paid(payments, actions, steps)
            sequence = store.frames.write_together(done)
    store.log.acknowledge(sequence)
    store.checkpoint_if_due()
    return unprocessed


def _paid(
    payments: Payments, actions: Sequence[Put | Delete], steps: Sequence[_Step]
) -> tuple[list[Write], list[Put | Delete]]:
    """Of a batch: what could be paid for, and what not. Throttled if that is nothing."""
    done: list[Write] = []
    unprocessed: list[Put | Delete] = []
    waits: list[Any] = []
    for action, step in zip(actions, steps, strict=True):
        write = step.read()
        assert write is not None  # noqa: S101 - only updates may write nothing
        try:
            payments.take(step.records, step.key, write.image)
            done.append(write)
        except Throttled as error:
            unprocessed.append(action)
            waits.append(error.details["retry_after"])
    if not done:
        raise _none_left("write", waits)
    return done, unprocessed


def _none_left(kind: str, waits: Sequence[Any]) -> Throttled:
    """What a batch raises of which nothing could be done: after the shortest of the waits, something can."""
    wait = min(waits)
    shown = f"{wait:.6f}".rstrip("0").rstrip(".")
    return Throttled(f"no {kind} units are left for any of these items: wait {shown} s", retry_after=wait)


def fingerprint(actions: Sequence[Action]) -> bytes:
    """What tells one set of actions from another."""
    said = [
        [
            type(action).__name__,
            action.table,
            to_dynamodb_json(action.item) if isinstance(action, Put) else [to_typed(v) for v in key_tuple(action.key)],
            action.expression if isinstance(action, Update) else None,
            action.condition,
            dict(action.names or {}),
            to_dynamodb_json(action.values or {}),
        ]
        for action in actions
    ]
    return blake2b(msgspec.json.encode(said, order="deterministic"), digest_size=DIGEST_BYTES).digest()
