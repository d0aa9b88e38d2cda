"""PartiQL: ExecuteStatement, BatchExecuteStatement, ExecuteTransaction.

A NextToken is the last key of the page before, with a digest of the statement that it belongs to.
"""

from contextlib import suppress
from hashlib import blake2b
from typing import TYPE_CHECKING, Any

from engines.errors import EngineError, Invalid
from engines.kv.backup.transfer import typed_item
from engines.kv.page import Page
from engines.kv.partiql import Outcome
from engines.kv.partiql.syntax import parse_statement
from engines.kv.requests.fields import (
    CAPACITY_FIELD,
    ON_FAILURE_FIELD,
    Answer,
    Fields,
    Given,
    checked,
    consumed_by,
    key_map,
    read_list,
    read_token,
    showing_items,
    token,
    typed_list,
    with_capacity,
)

if TYPE_CHECKING:
    from engines.kv.access.guard import Session
    from engines.kv.store import Store

_STATEMENT = f"Statement:text! Parameters:list {ON_FAILURE_FIELD} "
EXECUTE = _STATEMENT + f"ConsistentRead:flag NextToken:text {CAPACITY_FIELD} Limit:count"
IN_A_BATCH = _STATEMENT + "ConsistentRead:flag"
BATCH = f"Statements:list! {CAPACITY_FIELD}"
TRANSACTION = f"TransactStatements:list! ClientRequestToken:text {CAPACITY_FIELD}"
CODES = {
    "ConditionalCheckFailedException": "ConditionalCheckFailed",
    "ResourceNotFoundException": "ResourceNotFound",
    "ProvisionedThroughputExceededException": "ProvisionedThroughputExceeded",
    "TransactionConflictException": "TransactionConflict",
    "DuplicateItemException": "DuplicateItem",
    "AccessDeniedException": "AccessDenied",
    "ValidationException": "ValidationError",
}


def execute_statement(store: "Store | Session", request: Given) -> Answer:
    """ExecuteStatement: Items of a SELECT, or of RETURNING; NextToken where there are more."""
    given = checked("ExecuteStatement", request, EXECUTE)
    text, consumed = given["Statement"], consumed_by(given)
    start = None
    if "NextToken" in given:
        digest, key = read_token(given["NextToken"], "NextToken", tuple[str, list[Any]])
        if digest != _digest(text):
            raise Invalid("NextToken belongs to another statement: pass it with the one that it came from")
        start = read_list(key, "NextToken")
    with showing_items(given.get(_ON_FAILURE)):
        found = store.execute(
            text,
            read_list(given.get("Parameters", ()), "Parameters"),
            consistent=given.get("ConsistentRead", False),
            limit=given.get("Limit"),
            start=start,
            consumed=consumed,
        )
    answer: Answer = {"Items": [typed_item(item) for item in found or ()]}
    if isinstance(found, Page) and found.last_key is not None:
        answer["NextToken"] = token(_digest(text), typed_list(found.last_key))
        answer["LastEvaluatedKey"] = key_map(found.key_names, found.last_key)
    return with_capacity(answer, given, consumed, table_in(text) or "")


def batch_execute_statement(store: "Store | Session", request: Given) -> Answer:
    """BatchExecuteStatement: an Item or an Error for each statement."""
    given = checked("BatchExecuteStatement", request, BATCH)
    consumed = consumed_by(given)
    asked = [checked(f"Statements[{n}]", said, IN_A_BATCH) for n, said in enumerate(given["Statements"])]
    consistent = any(fields.get("ConsistentRead", False) for fields in asked)
    found = store.execute_batch([_bound(fields) for fields in asked], consistent=consistent, consumed=consumed)
    responses = [_response(fields, outcome) for fields, outcome in zip(asked, found, strict=True)]
    return with_capacity({"Responses": responses}, given, consumed)


def execute_transaction(store: "Store | Session", request: Given) -> Answer:
    """ExecuteTransaction: all of the statements or none; Responses of those that read."""
    given = checked("ExecuteTransaction", request, TRANSACTION)
    consumed = consumed_by(given)
    said = enumerate(given["TransactStatements"])
    asked = [checked(f"TransactStatements[{number}]", statement, _STATEMENT) for number, statement in said]
    with showing_items(*(fields.get(_ON_FAILURE) for fields in asked)):
        found = store.execute_transaction(
            [_bound(fields) for fields in asked], token=_token(given, asked), consumed=consumed
        )
    items = [{} if item is None else {"Item": typed_item(item)} for item in found or ()]
    return with_capacity({"Responses": items} if items else {}, given, consumed)


_ON_FAILURE = "ReturnValuesOnConditionCheckFailure"


def _bound(fields: Fields) -> tuple[str, list[Any]]:
    return fields["Statement"], read_list(fields.get("Parameters", ()), "Parameters")


def _token(given: Fields, asked: list[Fields]) -> str | None:
    """The client's token, of which reads have no use: boto3 sends one with every transaction."""
    reads = all(fields["Statement"].lstrip()[:6].upper() == "SELECT" for fields in asked)
    return None if reads else given.get("ClientRequestToken")


def _digest(text: str) -> str:
    return blake2b(text.encode(errors="replace"), digest_size=8).hexdigest()


def table_in(text: str) -> str | None:
    """The table that a statement names; None if it makes no sense."""
    with suppress(EngineError):
        return parse_statement(text).body.target.table
    return None


def _response(fields: Fields, outcome: Outcome) -> Answer:
    table = table_in(fields["Statement"])
    answer: Answer = {} if table is None else {"TableName": table}
    if outcome.error is not None:
        error = outcome.error
        answer["Error"] = {"Code": CODES.get(error.aws, "InternalServerError"), "Message": str(error)}
        item = error.details.get("item")
        if isinstance(item, dict) and fields.get(_ON_FAILURE) == "ALL_OLD":
            answer["Error"]["Item"] = typed_item(item)
    elif outcome.item is not None:
        answer["Item"] = typed_item(outcome.item)
    return answer
