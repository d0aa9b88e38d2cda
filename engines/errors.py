"""Every error that a user of an engine can cause, as one small tree.

An error is a docstring for a bad day: `str(error)` is one sentence that says what was given, what is allowed and what
to do. `.code` is stable, for programs; `.details` holds the facts of the sentence by name; `.aws` is the name the AWS
service uses for the same thing, so that a front door that speaks the service's protocol needs no table of its own.

    EngineError
    |- Invalid           an argument or request makes no sense        ValidationException
    |- NotFound          a table, item, snapshot is not there         ResourceNotFoundException
    |  `- Trimmed        a position in a change stream, no longer kept TrimmedDataAccessException
    |- AlreadyExists     a name is taken                              ResourceInUseException
    |- ConditionFailed   a condition on the stored item was false     ConditionalCheckFailedException
    |- Conflict          somebody else was first; try again           TransactionConflictException
    |- Throttled         no capacity left; wait `retry_after` seconds ProvisionedThroughputExceededException
    |- TooLarge          over a limit                                 ValidationException
    |- QueryError        a query text is wrong: line, column, caret   ValidationException
    |- Corrupted         bytes on disk are not what was written       InternalServerError
    |- ReadOnly          this engine takes no writes                  AccessDeniedException
    |- Denied            a policy does not allow this                 AccessDeniedException
    |- Closed            the engine was closed                        ResourceNotFoundException
    |- Locked            another process has it open for writing      ResourceInUseException
    `- Poisoned          a sync failed; reopen to recover             InternalServerError

Only an EngineError leaves an engine for reasons that a user can cause; a TypeError still means that Python's own
calling rules were broken.
"""

import difflib
from collections.abc import Callable, Iterable


class EngineError(Exception):
    """The root: catch it to catch whatever an engine says about your request or your data."""

    code = "error"
    aws = "InternalServerError"

    def __init__(self, message: str, *, code: str | None = None, **details: object) -> None:
        super().__init__(message)
        self.details = details
        if code is not None:
            self.code = code

    def __getattr__(self, name: str) -> object:
        """The details read as attributes: `error.item`, `error.retry_after`."""
        details = self.__dict__.get("details", {})
        if name in details:
            return details[name]
        raise AttributeError(name)

    def __reduce__(self) -> tuple[Callable[..., "EngineError"], tuple[object, ...]]:
        """Errors travel from a node as they are, although their classes take arguments of their own."""
        return _unpickled, (type(self), self.args, self.__dict__)


def _unpickled(kind: type[EngineError], args: tuple[object, ...], state: dict[str, object]) -> EngineError:
    error = kind.__new__(kind, *args)
    error.__dict__.update(state)
    return error


class Invalid(EngineError):
    """An argument or a request makes no sense: the message names it, the value given, and what is allowed."""

    code = "invalid"
    aws = "ValidationException"


class NotFound(EngineError):
    """What was named is not there; the message offers the nearest name."""

    code = "not-found"
    aws = "ResourceNotFoundException"


class Trimmed(NotFound):
    """A position in a log or change stream that is no longer kept. `.oldest` is the first one that is."""

    code = "trimmed"
    aws = "TrimmedDataAccessException"


class AlreadyExists(EngineError):
    """The name is taken."""

    code = "exists"
    aws = "ResourceInUseException"


class ConditionFailed(EngineError):
    """A condition on stored data was false, and nothing was changed. `.item` is what stands there instead."""

    code = "condition"
    aws = "ConditionalCheckFailedException"


class Conflict(EngineError):
    """Somebody else changed what this request was based on. Nothing was changed; trying again may succeed."""

    code = "conflict"
    aws = "TransactionConflictException"
    retry = True


class Throttled(EngineError):
    """The capacity that was bought is used up. `.retry_after` is in seconds."""

    code = "throttled"
    aws = "ProvisionedThroughputExceededException"


class TooLarge(EngineError):
    """Over a limit: `.limit` and `.size` say by how much, the message says what counts."""

    code = "too-large"
    aws = "ValidationException"


class QueryError(EngineError):
    """A query text that cannot be understood: `.line` and `.column` (from 1), and the line with a caret under the spot.

    `kind`, `phase` and `detail` carry the classes of a standard where one defines them (openCypher's TCK does).
    """

    code = "query"
    aws = "ValidationException"

    def __init__(
        self,
        message: str,
        *,
        text: str = "",
        position: int = 0,
        suggestion: str = "",
        kind: str = "SyntaxError",
        phase: str = "compile",
        detail: str = "",
    ) -> None:
        before = text[:position]
        self.line = before.count("\n") + 1
        self.column = position - (before.rfind("\n") + 1) + 1
        self.suggestion = suggestion
        self.kind, self.phase, self.detail = kind, phase, detail
        parts = [f"{message} (line {self.line}, column {self.column})"]
        if text:
            shown = text.split("\n")[self.line - 1]
            parts += [f"  {shown}", "  " + " " * (self.column - 1) + "^"]
        if suggestion:
            parts.append(suggestion)
        super().__init__("\n".join(parts), line=self.line, column=self.column, text=text)


class Corrupted(EngineError):
    """Bytes on disk are not what was written there. Names `.file` and `.offset`; never repaired in silence."""

    code = "corrupted"


class ReadOnly(EngineError):
    """This engine takes no writes: it was opened so, or damage was found, or the disk let it down."""

    code = "read-only"
    aws = "AccessDeniedException"


class Denied(EngineError):
    """A policy forbids this, or none allows it: `.action` on `.resource`, `.statement` is what denied it, or None."""

    code = "denied"
    aws = "AccessDeniedException"


class Closed(EngineError):
    """The engine was closed; open it again to go on."""

    code = "closed"
    aws = "ResourceNotFoundException"


class Locked(EngineError):
    """Another process has this folder open for writing. `.process` is its id where it is known."""

    code = "locked"
    aws = "ResourceInUseException"


class Poisoned(ReadOnly):
    """A write or sync failed, so what the disk holds is unknown. Reading goes on; closing and reopening recovers."""

    code = "poisoned"
    aws = "InternalServerError"


def listed(names: Iterable[str], most: int = 10) -> str:
    """The names in a sentence, in their order: `a, b, c and 7 more`."""
    known = list(names)
    more = f" and {len(known) - most:,} more" if len(known) > most else ""
    return ", ".join(known[:most]) + more


def nearest(name: str, known: Iterable[str]) -> str:
    """A sentence's tail that offers the known name closest to this one: `; did you mean 'orders'?`, or nothing."""
    by_letters = {one.casefold(): one for one in known}  # capitals are the commonest slip
    matches = difflib.get_close_matches(name.casefold(), by_letters, n=1)
    return f"; did you mean {by_letters[matches[0]]!r}?" if matches else ""
