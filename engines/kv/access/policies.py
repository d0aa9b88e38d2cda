"""Policies: who may do what to which table, item and attribute, in the words of IAM's policies.

    own = Policy({"Version": "2012-10-17", "Statement": [
        {"Sid": "OwnItems", "Effect": "Allow", "Action": ["dynamodb:GetItem", "dynamodb:Query"], "Resource": "orders",
         "Condition": {"ForAllValues:StringEquals": {"dynamodb:LeadingKeys": "${aws:username}"}}}]})
    own.check("dynamodb:GetItem", "orders", leading_keys=["ann"], context={"aws:username": "ann"})     # or Denied

    request ──> each statement:  action?  resource?  conditions?  ──> all true: it applies
                                                                          │
                a Deny applies ────────────────────────> Denied          (1)
                an Allow applies, no Deny does ────────> allowed         (2)
                nothing applies ───────────────────────> Denied          (3)  nobody may anything unless it is said

A resource is a table, "orders" or "table/orders"; a part of one, "table/orders/index/by_date"; or an ARN that ends in
these. `*` and `?` are wildcards, `*` reaches over slashes: "table/orders*" is the table orders, its indexes, and
orders_old. A table alone does not include its indexes. Of an ARN only what follows the account is compared, unless the
request names its resource by an ARN too: one process has neither region nor account.

A policy is checked when it is made. An element, action, operator or condition key that is not known is Invalid there:
a policy that is understood in part protects in part.

Where this differs from IAM
* A variable without a value in a request leaves a statement undecided: an Allow does not apply then, and a Deny does.
  In IAM such a Deny lapses.
* Policies of principals only: Principal and NotPrincipal are refused. Actions of other services are, too.
* dynamodb:LeadingKeys and dynamodb:Attributes need ForAllValues: or ForAnyValue:, without it is Invalid.
* `${...}` without Version 2012-10-17 is Invalid. IAM would take it for plain text.

Pitfalls, as in IAM: ForAllValues is true of nothing. A Scan has no leading keys, so a condition on them lets it pass:
do not allow Scan, or ask for {"Null": {"dynamodb:LeadingKeys": "false"}} too. Likewise a request that names no
attributes gets all of them: allow only dynamodb:Select SPECIFIC_ATTRIBUTES beside a list of dynamodb:Attributes.

Invariants: with an applicable Deny nothing else counts; adding an Allow never forbids, adding a Deny never permits;
the order of the statements changes no decision.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from engines.clock import Clock, SystemClock
from engines.display import Plan
from engines.errors import Denied, Invalid, nearest
from engines.kv.access.conditions import (
    Condition,
    Template,
    Truth,
    Values,
    both,
    conditions_of,
    either,
    request_values,
    texts_of,
)

VERSION, OLD_VERSION = "2012-10-17", "2008-10-17"
PREFIX = "dynamodb:"
_ACTIONS = """
BatchGetItem BatchWriteItem ConditionCheckItem CreateBackup CreateGlobalTable CreateTable CreateTableReplica
DeleteBackup DeleteItem DeleteResourcePolicy DeleteTable DeleteTableReplica DescribeBackup
DescribeContinuousBackups DescribeContributorInsights DescribeEndpoints DescribeExport DescribeGlobalTable
DescribeGlobalTableSettings DescribeImport DescribeKinesisStreamingDestination DescribeLimits
DescribeReservedCapacity DescribeReservedCapacityOfferings DescribeStream DescribeTable
DescribeTableReplicaAutoScaling DescribeTimeToLive DisableKinesisStreamingDestination
EnableKinesisStreamingDestination ExportTableToPointInTime GetItem GetRecords GetResourcePolicy GetShardIterator
ImportTable ListBackups ListContributorInsights ListExports ListGlobalTables ListImports ListStreams ListTables
ListTagsOfResource PartiQLDelete PartiQLInsert PartiQLSelect PartiQLUpdate PurchaseReservedCapacityOfferings
PutItem PutResourcePolicy Query RestoreTableFromAwsBackup RestoreTableFromBackup RestoreTableToPointInTime Scan
StartAwsBackupJob TagResource UntagResource UpdateContinuousBackups UpdateContributorInsights UpdateGlobalTable
UpdateGlobalTableSettings UpdateGlobalTableVersion UpdateItem UpdateKinesisStreamingDestination UpdateTable
UpdateTableReplicaAutoScaling UpdateTimeToLive
"""
_KNOWN = {(PREFIX + action).lower(): PREFIX + action for action in _ACTIONS.split()}
_DOCUMENT = ("Version", "Id", "Statement")
_ELEMENTS = ("Sid", "Effect", "Action", "NotAction", "Resource", "NotResource", "Condition")
_RESOURCES = "a table's name, table/NAME, table/NAME/index/NAME, an ARN that ends in one of these"
_PARTS = "index|stream|backup|export|import"
_TABLE = re.compile(rf"table/[\w.\-]+(/({_PARTS})/[\w.\-:]+)?", re.ASCII)
_TABLE_PATTERN = re.compile(r"[\w.\-:/*?]*", re.ASCII)
_VARIABLE = re.compile(r"\$\{[^{}]*\}")


class _Request(NamedTuple):
    """What is asked for: the action by its full name, table/NAME..., the whole ARN or "", and what is known."""

    action: str
    resource: str
    arn: str
    values: Values


class _Pattern(NamedTuple):
    """One Resource of a statement: what follows the account, and all of it where it is an ARN."""

    shown: str
    tail: Template
    arn: Template | None

    def matches(self, request: _Request) -> Truth:
        if request.arn and self.arn is not None:
            return self.arn.matches(request.arn, request.values)
        return self.tail.matches(request.resource, request.values)


class _Judgement(NamedTuple):
    """What came of one statement, and why."""

    action: Truth
    resource: Truth
    conditions: list[Truth]

    @property
    def verdict(self) -> Truth:
        return both([self.action, self.resource, *self.conditions])


@dataclass(frozen=True, slots=True)
class _Statement:
    sid: str  # as given, or # and its number
    allows: bool
    actions: frozenset[str]  # by their full names
    other_actions: bool  # NotAction
    shown: str  # the actions as they were written
    resources: tuple[_Pattern, ...]
    other_resources: bool  # NotResource
    conditions: tuple[Condition, ...]

    def judge(self, request: _Request) -> _Judgement:
        resource = either([pattern.matches(request) for pattern in self.resources])
        return _Judgement(
            (request.action in self.actions) != self.other_actions,
            resource if resource is None else resource != self.other_resources,
            [condition.holds(request.values) for condition in self.conditions],
        )

    def applies(self, judgement: _Judgement) -> bool:
        """In doubt an Allow does not, and a Deny does."""
        verdict = judgement.verdict
        return not self.allows if verdict is None else verdict

    def plan(self, request: _Request, judgement: _Judgement) -> Plan:
        resources = ", ".join(pattern.shown for pattern in self.resources)
        steps = [
            Plan("NotAction" if self.other_actions else "Action", f"{_said(judgement.action)}: {self.shown}"),
            Plan("NotResource" if self.other_resources else "Resource", f"{_said(judgement.resource)}: {resources}"),
        ]
        steps += [
            Plan(condition.name, f"{_said(truth)}: {condition.describe(request.values)}")
            for condition, truth in zip(self.conditions, judgement.conditions, strict=True)
        ]
        applies = "applies" if self.applies(judgement) else "does not apply"
        return Plan("Allow" if self.allows else "Deny", f"{self.sid}: {applies}", children=steps)


class Policy:
    """What a principal may do. Unchangeable, and safe to share between threads.

    document: a policy as IAM writes it in JSON, as a dict; or a list of its statements, which stands for Version
    2012-10-17. clock: gives aws:CurrentTime (the machine's clock). Invalid names the statement and what is wrong in it.
    """

    def __init__(
        self, document: Mapping[str, object] | Iterable[Mapping[str, object]], *, clock: Clock | None = None
    ) -> None:
        self._clock = clock or SystemClock()
        statements, variables = _statements(document)
        self._statements = tuple(
            _statement(statement, number, variables=variables) for number, statement in enumerate(statements, 1)
        )
        sids = [statement.sid for statement in self._statements]
        for sid in sids:
            if sids.count(sid) > 1:
                raise Invalid(f"two statements have the Sid {sid!r}: a Sid names one statement")

    def check(
        self,
        action: str,
        resource: str,
        *,
        leading_keys: Iterable[object] = (),
        attributes: Iterable[str] = (),
        context: Mapping[str, object] | None = None,
    ) -> None:
        """Return if this is allowed; else Denied names the statement that denies it, or says that none allows it.

        action: "dynamodb:PutItem". resource: "orders", "table/orders/index/by_date", or an ARN; "*" for none.
        leading_keys: the values of the partition keys that are read or written, none for a Scan. attributes: the names
        of the attributes that are. context: what else is known, by condition key, such as {"aws:username": "ann",
        "dynamodb:Select": "COUNT"}. Invalid if one of them is not known.
        """
        request = self._request(action, resource, leading_keys, attributes, context or {})
        allowed = False
        for statement in self._statements:
            judgement = statement.judge(request)
            if not statement.applies(judgement):
                continue
            if not statement.allows:
                doubt = ", as a variable in it has no value here" if judgement.verdict is None else ""
                raise _denied(request, statement.sid, f"the statement {statement.sid!r} denies it{doubt}")
            allowed = True
        if not allowed:
            raise _denied(request, None, "no statement allows it")

    def explain(
        self,
        action: str,
        resource: str,
        *,
        leading_keys: Iterable[object] = (),
        attributes: Iterable[str] = (),
        context: Mapping[str, object] | None = None,
    ) -> Plan:
        """The decision that check() would take, and of every statement what in it fits and what does not."""
        request = self._request(action, resource, leading_keys, attributes, context or {})
        judged = [(statement, statement.judge(request)) for statement in self._statements]
        applied = [statement for statement, judgement in judged if statement.applies(judgement)]
        denies = [statement for statement in applied if not statement.allows]
        decision = "Denied" if denies or not applied else "Allowed"
        because = f"by {(denies or applied)[0].sid}" if applied else "no statement allows it"
        return Plan(
            decision,
            f"{request.action} on {request.arn or request.resource}: {because}",
            {"statements": len(judged), "applied": len(applied)},
            [statement.plan(request, judgement) for statement, judgement in judged],
        )

    def _request(
        self,
        action: str,
        resource: str,
        leading_keys: Iterable[object],
        attributes: Iterable[str],
        context: Mapping[str, object],
    ) -> _Request:
        known = _KNOWN.get(action.lower())
        if known is None:
            raise Invalid(f"no action {action!r}{nearest(action, _KNOWN.values())}: write for example dynamodb:GetItem")
        tail, arn = _tail(resource, "the resource")
        if resource != "*" and not _TABLE.fullmatch(tail):
            raise Invalid(f"no resource {resource!r}: write {_RESOURCES}")
        values = request_values(context, leading_keys, attributes, self._clock.now())
        return _Request(known, tail, resource if arn else "", values)


def _denied(request: _Request, statement: str | None, because: str) -> Denied:
    resource = request.arn or request.resource
    name = request.values.get("aws:username")
    return Denied(
        f"{name[0] if name else 'this request'} may not do {request.action} on {resource}: {because}",
        action=request.action,
        resource=resource,
        statement=statement,
    )


def _said(truth: Truth) -> str:
    return {True: "yes", False: "no", None: "undecided, a variable has no value"}[truth]


# -- reading a policy -------------------------------------------------------------------------------------------------


def _statements(document: object) -> tuple[list[object], bool]:
    """The statements of a document, and whether its version knows variables."""
    if not isinstance(document, Mapping):
        if isinstance(document, str | bytes) or not isinstance(document, Iterable):
            raise Invalid(f"a policy is a dict with Statement, or a list of statements, got {document!r}")
        statements, version = list(document), VERSION
    else:
        _only(document, _DOCUMENT, "a policy")
        version = document.get("Version", OLD_VERSION)
        if version not in (VERSION, OLD_VERSION):
            raise Invalid(f'Version is "{VERSION}", or the old "{OLD_VERSION}", got {version!r}')
        found = document.get("Statement", [])
        if not isinstance(found, Mapping | list | tuple):
            raise Invalid(f"Statement is a list of statements, got {found!r}")
        statements = [found] if isinstance(found, Mapping) else list(found)
    if not statements:
        raise Invalid("a policy has at least one statement, in Statement")
    return statements, version == VERSION


def _statement(statement: object, number: int, *, variables: bool) -> _Statement:
    where = f"statement {number}"
    if not isinstance(statement, Mapping):
        raise Invalid(f"{where} is an object with Effect, Action and Resource, got {statement!r}")
    sid = statement.get("Sid", "")
    if not isinstance(sid, str) or not re.fullmatch(r"[A-Za-z0-9]*", sid):
        raise Invalid(f"{where}: a Sid is made of letters and digits, got {sid!r}")
    if sid:
        where += f" ({sid})"
    _only(statement, _ELEMENTS, where)
    if statement.get("Effect") not in ("Allow", "Deny"):
        raise Invalid(f'{where}: Effect is "Allow" or "Deny", got {statement.get("Effect")!r}')
    actions, other_actions = _one_of(statement, "Action", where)
    resources, other_resources = _one_of(statement, "Resource", where)
    conditions = conditions_of(statement["Condition"], where) if "Condition" in statement else []
    asked = [text for condition in conditions if condition.key.kind == "string" for text in condition.shown]
    if not variables and any("${" in text for text in (*resources, *asked)):
        raise Invalid(f'{where} has variables: they need "Version": "{VERSION}" in the policy')
    return _Statement(
        sid or f"#{number}",
        statement["Effect"] == "Allow",
        frozenset().union(*(_actions(text, where) for text in actions)),
        other_actions,
        ", ".join(actions),
        tuple(_pattern(text, where) for text in resources),
        other_resources,
        tuple(conditions),
    )


def _only(given: Mapping[object, object], known: tuple[str, ...], where: str) -> None:
    for name in given:
        if name not in known:
            hint = nearest(name, known) if isinstance(name, str) else ""
            raise Invalid(f"{where} has the element {name!r}, it may have {', '.join(known)}{hint}")


def _one_of(statement: Mapping[str, object], name: str, where: str) -> tuple[tuple[str, ...], bool]:
    """The texts of Action or NotAction, whichever is there, and whether it is the latter."""
    if (name in statement) == (f"Not{name}" in statement):
        raise Invalid(f"{where} needs {name} or Not{name}, and not both")
    found = name if name in statement else f"Not{name}"
    return texts_of(statement[found], f"{where}: {found}"), found != name


def _actions(text: str, where: str) -> frozenset[str]:
    """The actions that a text names, by their full names."""
    if re.fullmatch(r"[\w:*?]+", text, re.ASCII):
        pattern = Template(text.lower(), wild=True)
        if found := frozenset(name for folded, name in _KNOWN.items() if pattern.matches(folded, {})):
            return found
    examples = "dynamodb:GetItem, dynamodb:Batch* or *"
    raise Invalid(f"{where}: no action {text!r}{nearest(text, _KNOWN.values())}: write for example {examples}")


def _pattern(text: str, where: str) -> _Pattern:
    tail, arn = _tail(text, where)
    bare = _VARIABLE.sub("*", tail)
    if not _TABLE_PATTERN.fullmatch(bare) or not ("*" in bare or _TABLE.fullmatch(bare.replace("?", "x"))):
        raise Invalid(f"{where}: no resource {text!r}: write {_RESOURCES}, or *")
    return _Pattern(text, Template(tail, wild=True), Template(text, wild=True) if arn else None)


def _tail(resource: str, where: str) -> tuple[str, bool]:
    """What follows the account in an ARN; else the text itself, with table/ before it; and whether it was an ARN."""
    if resource == "*":
        return resource, False
    if not resource.startswith("arn:"):
        return resource if resource.startswith("table/") else f"table/{resource}", False
    parts = resource.split(":", 5)
    if len(parts) < 6 or parts[2] not in ("dynamodb", "*"):
        raise Invalid(f"{where}: an ARN here is arn:aws:dynamodb:REGION:ACCOUNT:table/NAME, got {resource!r}")
    return parts[5], True
