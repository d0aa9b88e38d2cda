"""Errors as the service sends them: a status, and a body that names the error and says why.

Two messages are the service's own words, because programs read them: that of a failed condition, and that of a
cancelled transaction, which lists the codes of its actions in brackets.
"""

from collections.abc import Mapping
from typing import Any

from engines.errors import ConditionFailed, EngineError
from engines.kv.backup.transfer import typed_item

NAMESPACE = "com.amazonaws.dynamodb.v20120810#"
_OTHER_NAMESPACES = {
    "ValidationException": "com.amazon.coral.validate#",
    "UnknownOperationException": "com.amazon.coral.service#",
    "AccessDeniedException": "com.amazon.coral.service#",
}
INTERNAL = "InternalServerError"
FAILED_CONDITION = "The conditional request failed"


def error_body(error: Exception) -> tuple[int, dict[str, Any]]:
    """The HTTP status, and the body in JSON's types, for an error that request() has raised.

    400 for what the caller can mend, 500 for damage, a disk that failed, and whatever is no error of the engine, of
    which no more is told than its class.
    """
    if not isinstance(error, EngineError):
        return 500, {"__type": NAMESPACE + INTERNAL, "message": f"something went wrong here: {type(error).__name__}"}
    name, message = error.aws, str(error)
    reasons, item = error.details.get("reasons"), error.details.get("item")
    body: dict[str, Any] = {"__type": _OTHER_NAMESPACES.get(name, NAMESPACE) + name, "message": message}
    if name == "TransactionCanceledException" and isinstance(reasons, list):
        body["CancellationReasons"] = [_reason(reason) for reason in reasons]
        codes = ", ".join(reason["Code"] for reason in body["CancellationReasons"])
        body["message"] = f"Transaction cancelled, please refer cancellation reasons for specific reasons [{codes}]"
    elif isinstance(error, ConditionFailed):
        if name == ConditionFailed.aws:
            body["message"] = FAILED_CONDITION
        if isinstance(item, dict):
            body["Item"] = typed_item(item)
    return 500 if name == INTERNAL else 400, body


def _reason(reason: Mapping[str, Any] | None) -> dict[str, Any]:
    if reason is None:
        return {"Code": "None"}
    failed = reason["code"] == "ConditionalCheckFailed"
    shown = {"Code": reason["code"], "Message": FAILED_CONDITION if failed else reason["message"]}
    if reason.get("item") is not None:
        shown["Item"] = typed_item(reason["item"])
    return shown
