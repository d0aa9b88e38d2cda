"""Policies: what is allowed, what is denied and by which statement, and what is no policy at all."""

import itertools
from decimal import Decimal

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from engines.clock import ManualClock
from engines.errors import Denied, Invalid
from engines.kv.access.conditions import MANY, ONE, Template, glob
from engines.kv.access.policies import Policy

NOON = ManualClock(1_767_268_800_250_000)  # 2026-01-01T12:00:00.25Z: the time is that of the second
ARN = "arn:aws:dynamodb:eu-west-1:123456789012:table/orders"


def allow(action="*", resource="*", **more):
    return {"Effect": "Allow", "Action": action, "Resource": resource} | more


def deny(action="*", resource="*", **more):
    return allow(action, resource, **more) | {"Effect": "Deny"}


def when(**operators):
    """A condition block; `over__Operator` stands for over:Operator."""
    return {"Condition": {name.replace("__", ":"): asked for name, asked in operators.items()}}


def allows(statements, action="dynamodb:GetItem", resource="orders", **request):
    """Whether a policy of these statements lets the request pass: in any order, and as explain() says, too."""
    if isinstance(statements, dict):
        statements = [statements]
    answers = set()
    for order in itertools.permutations(statements):
        policy = Policy(order, clock=NOON)
        plan = policy.explain(action, resource, **request)
        try:
            policy.check(action, resource, **request)
        except Denied:
            answers.add("Denied")
        else:
            answers.add("Allowed")
        assert answers == {plan.name}
    return answers == {"Allowed"}


# -- the decision -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("statements", "expected"),
    [
        ([allow()], True),
        ([deny()], False),
        ([allow("dynamodb:PutItem")], False),
        ([allow(), deny()], False),
        ([allow(), deny("dynamodb:PutItem")], True),
        ([allow(), allow("dynamodb:GetItem"), deny("dynamodb:Get*", "users")], True),
        ([allow(), allow("dynamodb:GetItem"), deny("dynamodb:Get*", "orders")], False),
    ],
)
def test_a_deny_wins_then_an_allow_and_without_either_nothing_is_allowed(statements, expected):
    assert allows(statements) == expected


def test_a_denial_names_the_action_the_table_and_the_statement():
    policy = Policy([allow("dynamodb:*"), deny("dynamodb:Delete*", Sid="NoDeletes"), deny("dynamodb:Scan")])
    policy.check("dynamodb:PutItem", "orders")
    with pytest.raises(Denied) as denied:
        policy.check("dynamodb:deleteitem", "orders", context={"aws:UserName": "ann"})
    error = denied.value
    assert str(error) == "ann may not do dynamodb:DeleteItem on table/orders: the statement 'NoDeletes' denies it"
    assert (error.action, error.resource, error.statement) == ("dynamodb:DeleteItem", "table/orders", "NoDeletes")
    assert (error.code, error.aws) == ("denied", "AccessDeniedException")
    with pytest.raises(Denied, match=r"this request may not do .* the statement '#3' denies it"):
        policy.check("dynamodb:Scan", "orders")
    with pytest.raises(Denied, match="no statement allows it") as denied:
        Policy([allow("dynamodb:Query")]).check("dynamodb:Scan", ARN)
    assert (denied.value.resource, denied.value.statement) == (ARN, None)


@pytest.mark.parametrize(
    ("written", "action", "expected"),
    [
        ("dynamodb:GetItem", "dynamodb:GetItem", True),
        ("dynamodb:getitem", "dynamodb:GetItem", True),
        ("DYNAMODB:Get*", "dynamodb:GetItem", True),
        ("dynamodb:*Item", "dynamodb:BatchGetItem", True),
        ("dynamodb:?etItem", "dynamodb:GetItem", True),
        ("dynamodb:?etItem", "dynamodb:BatchGetItem", False),
        ("dynamodb:GetItem", "dynamodb:BatchGetItem", False),
        (["dynamodb:Query", "dynamodb:Scan"], "dynamodb:Scan", True),
    ],
)
def test_actions_know_wildcards_and_no_case(written, action, expected):
    assert allows(allow(written), action) == expected
    other = {"Effect": "Allow", "NotAction": written, "Resource": "*"}
    assert allows(other, action) == (not expected)


@pytest.mark.parametrize(
    ("written", "resource", "expected"),
    [
        ("orders", "orders", True),
        ("orders", "table/orders", True),
        ("table/orders", "orders", True),
        ("orders", "order", False),
        ("orders", "orders2", False),
        ("orders", "table/orders/index/by_date", False),
        ("orders/index/*", "table/orders/index/by_date", True),
        ("table/orders/index/*", "orders/index/by_date", True),
        ("table/orders/index/*", "orders", False),
        ("table/*/index/by_date", "orders/index/by_date", True),
        ("orders*", "orders/index/by_date", True),
        ("order?", "orders", True),
        ("*", "orders", True),
        ("*", "*", True),
        ("table/*", "*", False),
        (ARN, "orders", True),
        (ARN, ARN, True),
        ("arn:aws:dynamodb:us-east-1:123456789012:table/orders", "orders", True),
        ("arn:aws:dynamodb:us-east-1:123456789012:table/orders", ARN, False),
        ("arn:aws:dynamodb:*:*:table/orders", ARN, True),
        ("arn:aws:dynamodb:*:*:table/users", ARN, False),
        ("orders", ARN, True),
        (["users", "orders"], "orders", True),
        ("table/orders/stream/*", "orders/stream/2026-01-01T00:00:00.000", True),
    ],
)
def test_resources_are_tables_their_parts_and_arns(written, resource, expected):
    assert allows(allow(resource=written), resource=resource) == expected
    other = {"Effect": "Allow", "Action": "*", "NotResource": written}
    assert allows(other, resource=resource) == (not expected)


# -- conditions -------------------------------------------------------------------------------------------------------

LEADING, ATTRIBUTES, SELECT, USER = "dynamodb:LeadingKeys", "dynamodb:Attributes", "dynamodb:Select", "aws:username"
ANN = {"context": {"aws:username": "ann"}}


@pytest.mark.parametrize(
    ("condition", "request_", "expected"),
    [
        # over many values
        (when(ForAllValues__StringEquals={LEADING: ["ann", "bob"]}), {"leading_keys": ["ann"]}, True),
        (when(ForAllValues__StringEquals={LEADING: ["ann", "bob"]}), {"leading_keys": ["ann", "bob"]}, True),
        (when(ForAllValues__StringEquals={LEADING: ["ann", "bob"]}), {"leading_keys": ["ann", "eve"]}, False),
        (when(ForAllValues__StringEquals={LEADING: "ann"}), {}, True),
        (when(ForAllValues__StringEquals={LEADING: "17"}), {"leading_keys": [17]}, True),
        (when(ForAllValues__StringEquals={LEADING: "1500"}), {"leading_keys": [Decimal("1.5E+3")]}, True),
        (when(ForAllValues__StringEquals={LEADING: "1.5"}), {"leading_keys": [Decimal("1.50")]}, True),
        (when(ForAllValues__StringEquals={LEADING: "AAE="}), {"leading_keys": [b"\0\1"]}, True),
        (when(ForAllValues__StringNotEquals={LEADING: ["eve", "mal"]}), {"leading_keys": ["ann", "bob"]}, True),
        (when(ForAllValues__StringNotEquals={LEADING: ["eve", "mal"]}), {"leading_keys": ["ann", "mal"]}, False),
        (when(ForAnyValue__StringEquals={ATTRIBUTES: ["ssn", "salary"]}), {"attributes": ["name", "ssn"]}, True),
        (when(ForAnyValue__StringEquals={ATTRIBUTES: ["ssn", "salary"]}), {"attributes": ["name"]}, False),
        (when(ForAnyValue__StringEquals={ATTRIBUTES: "ssn"}), {}, False),
        (when(ForAnyValue__StringNotEquals={ATTRIBUTES: "ssn"}), {}, False),
        (when(ForAnyValue__StringNotEquals={ATTRIBUTES: "ssn"}), {"attributes": ["ssn", "name"]}, True),
        (when(ForAnyValue__StringEqualsIfExists={ATTRIBUTES: "ssn"}), {}, True),
        (when(ForAllValues__StringLike={LEADING: "user-*"}), {"leading_keys": ["user-1", "user-"]}, True),
        (when(ForAllValues__StringLike={LEADING: "user-?"}), {"leading_keys": ["user-1", "user-"]}, False),
        # one value
        (when(StringEquals={USER: "ann"}), ANN, True),
        (when(StringEquals={USER: "Ann"}), ANN, False),
        (when(StringEquals={USER: "a*"}), ANN, False),
        (when(StringLike={USER: "a*"}), ANN, True),
        (when(StringNotLike={USER: ["b*", "c*"]}), ANN, True),
        (when(StringNotLike={USER: ["a*", "c*"]}), ANN, False),
        (when(StringEqualsIgnoreCase={USER: "ANN"}), ANN, True),
        (when(StringEqualsIgnoreCase={USER: "STRASSE"}), {"context": {"aws:username": "straße"}}, True),
        (when(StringNotEqualsIgnoreCase={USER: "ANN"}), ANN, False),
        (when(StringEquals={USER: "ann"}), {}, False),
        (when(StringNotEquals={USER: "ann"}), {}, True),
        (when(StringEqualsIfExists={USER: "ann"}), {}, True),
        (when(StringEqualsIfExists={USER: "bob"}), ANN, False),
        (when(StringEquals={"aws:PrincipalTag/team": "x"}), {"context": {"AWS:principaltag/Team": "x"}}, True),
        (when(StringEquals={"dynamodb:ReturnValues": ["NONE", "UPDATED_NEW"]}), {}, False),
        (when(StringEqualsIfExists={SELECT: "SPECIFIC_ATTRIBUTES"}), {"context": {SELECT: "COUNT"}}, False),
        (when(Bool={"aws:MultiFactorAuthPresent": "true"}), {"context": {"aws:MultiFactorAuthPresent": True}}, True),
        (when(Bool={"aws:MultiFactorAuthPresent": True}), {"context": {"aws:MultiFactorAuthPresent": False}}, False),
        (when(Bool={"aws:MultiFactorAuthPresent": "true"}), {}, False),
        (when(BoolIfExists={"aws:MultiFactorAuthPresent": "true"}), {}, True),
        (when(Null={LEADING: "false"}), {}, False),
        (when(Null={LEADING: "true"}), {}, True),
        (when(Null={LEADING: False}), {"leading_keys": ["ann"]}, True),
        (when(Null={LEADING: [True, False]}), {}, True),
        # times, and it is noon
        (when(DateLessThan={"aws:CurrentTime": "2026-01-01T12:00:01Z"}), {}, True),
        (when(DateLessThan={"aws:CurrentTime": "2026-01-01T12:00:00Z"}), {}, False),
        (when(DateLessThanEquals={"aws:CurrentTime": "2026-01-01T12:00:00Z"}), {}, True),
        (when(DateGreaterThan={"aws:CurrentTime": "2026-01-01T13:59:59+02:00"}), {}, True),
        (when(DateGreaterThan={"aws:CurrentTime": "2026-01-01"}), {}, True),
        (when(DateGreaterThan={"aws:EpochTime": 1767268800}), {}, False),
        (when(DateGreaterThanEquals={"aws:EpochTime": "1767268800"}), {}, True),
        (when(DateEquals={"aws:CurrentTime": "2026-01-01T12:00:00"}), {}, True),
        (when(DateNotEquals={"aws:CurrentTime": ["2026-01-01T12:00:00Z", "2027-01-01"]}), {}, False),
        # several must all hold
        (when(StringEquals={USER: "ann"}, Null={LEADING: "true"}), ANN, True),
        (when(StringEquals={USER: "ann", SELECT: "COUNT"}), ANN, False),
        # variables
        (when(ForAllValues__StringEquals={LEADING: "${aws:username}"}), {"leading_keys": ["ann"]} | ANN, True),
        (when(ForAllValues__StringEquals={LEADING: "${AWS:UserName}"}), {"leading_keys": ["bob"]} | ANN, False),
        (when(ForAllValues__StringLike={LEADING: "${aws:username}#*"}), {"leading_keys": ["ann#1"]} | ANN, True),
        (when(StringEquals={USER: "${aws:userid, 'ann'}"}), ANN, True),
        (when(StringEqualsIgnoreCase={USER: "${aws:userid}"}), {"context": {"aws:userid": "ANN", USER: "Ann"}}, True),
        (when(StringEquals={USER: "${aws:userid}"}), {"context": {"aws:userid": "ANN", USER: "Ann"}}, False),
        (when(StringLike={USER: "${*}"}), ANN, False),
        (when(StringLike={USER: "${?}${$}a${*}"}), {"context": {"aws:username": "?$a*"}}, True),
    ],
)
def test_conditions_hold_or_do_not(condition, request_, expected):
    assert allows(allow(**condition), **request_) == expected
    assert allows([allow(), deny(**condition)], **request_) == (not expected)


def test_what_a_variable_stands_for_is_no_wildcard():
    own = allow(**when(ForAllValues__StringLike={LEADING: "${aws:username}"}), resource="${aws:username}-orders")
    star = {"context": {"aws:username": "*"}}
    assert not allows(own, resource="ann-orders", leading_keys=["ann"], **star)
    assert allows(own, resource="ann-orders", leading_keys=["ann"], **ANN)
    assert not allows(own, resource="bob-orders", leading_keys=["ann"], **ANN)


@pytest.mark.parametrize(
    "undecided",
    [
        {"Resource": "${aws:username}-orders"},
        {"NotResource": "${aws:username}-orders"},
        when(StringEquals={"aws:userid": "${aws:username}"}),
        when(StringNotEquals={"aws:userid": ["x", "${aws:username}"]}),
        when(ForAllValues__StringLike={LEADING: "${aws:username}*"}),
    ],
)
def test_in_doubt_an_allow_does_not_apply_and_a_deny_does(undecided):
    asked = {"resource": "ann-orders", "leading_keys": ["ann"], "context": {"aws:userid": "7"}}
    base = {"Action": "*"} | ({} if "NotResource" in undecided else {"Resource": "*"}) | undecided
    assert not allows({"Effect": "Allow"} | base, **asked)
    assert not allows([allow(), {"Effect": "Deny"} | base], **asked)
    with pytest.raises(Denied, match="a variable in it has no value"):
        Policy([{"Effect": "Deny"} | base]).check("dynamodb:GetItem", **asked)
    surely_not = base.get("Condition", {}) | {"StringEquals": {SELECT: "COUNT"}}
    assert allows([allow(), {"Effect": "Deny"} | base | {"Condition": surely_not}], **asked)


def test_one_fitting_value_decides_whatever_another_variable_would_be():
    condition = when(StringEquals={"aws:userid": ["${aws:username}", "7"]})
    assert allows(allow(**condition), context={"aws:userid": "7"})
    assert not allows(allow(**condition), context={"aws:userid": "8"})


def test_a_scan_has_no_leading_keys_so_it_must_be_kept_out():
    own = when(ForAllValues__StringEquals={LEADING: "ann"})
    assert allows(allow(**own), "dynamodb:Scan")
    own["Condition"]["Null"] = {LEADING: "false"}
    assert not allows(allow(**own), "dynamodb:Scan")
    assert allows(allow(**own), "dynamodb:Query", leading_keys=["ann"])


def test_a_policy_in_time_follows_the_clock():
    clock = ManualClock(0)
    policy = Policy([allow(**when(DateLessThan={"aws:CurrentTime": "1970-01-02T00:00:00Z"}))], clock=clock)
    clock.advance(hours=23, minutes=59, seconds=59)
    policy.check("dynamodb:Scan", "orders")
    clock.advance(seconds=1)
    with pytest.raises(Denied):
        policy.check("dynamodb:Scan", "orders")


def test_explain_says_of_every_statement_what_in_it_fits():
    policy = Policy(
        [
            allow(
                "dynamodb:Query", "orders", Sid="Own", **when(ForAllValues__StringEquals={LEADING: "${aws:username}"})
            ),
            deny("dynamodb:*", "users", **when(DateGreaterThan={"aws:CurrentTime": "2026-01-01"})),
        ],
        clock=NOON,
    )
    plan = policy.explain("dynamodb:Query", "orders", leading_keys=["bob"], **ANN)
    assert str(plan).split("\n") == [
        "Denied  dynamodb:Query on table/orders: no statement allows it  [statements=2, applied=0]",
        "├─ Allow  Own: does not apply",
        "│  ├─ Action  yes: dynamodb:Query",
        "│  ├─ Resource  yes: orders",
        "│  └─ ForAllValues:StringEquals  no: dynamodb:LeadingKeys is bob; asked for ${aws:username}",
        "└─ Deny  #2: does not apply",
        "   ├─ Action  yes: dynamodb:*",
        "   ├─ Resource  no: users",
        "   └─ DateGreaterThan  yes: aws:CurrentTime is 2026-01-01T12:00:00+00:00; asked for 2026-01-01",
    ]
    plan = policy.explain("dynamodb:Query", "orders", leading_keys=["bob"])
    assert "undecided, a variable has no value: dynamodb:LeadingKeys" in str(plan)
    assert policy.explain("dynamodb:Query", "orders", leading_keys=["ann"], **ANN).line() == (
        "Allowed  dynamodb:Query on table/orders: by Own  [statements=2, applied=1]"
    )


# -- what is no policy ------------------------------------------------------------------------------------------------


def document(**changed):
    return {"Version": "2012-10-17", "Statement": [allow()]} | changed


def without(name):
    return [{key: value for key, value in allow().items() if key != name}]


@pytest.mark.parametrize(
    ("policy", "message"),
    [
        ("{}", "a dict with Statement, or a list"),
        (7, "a dict with Statement, or a list"),
        ({}, "at least one statement"),
        ([], "at least one statement"),
        (allow(), "a policy has the element 'Effect', it may have Version, Id, Statement"),
        (document(Statment=[]), "'Statment'.*did you mean 'Statement'"),
        (document(Version="2020-01-01"), "Version is"),
        (document(Statement="x"), "Statement is a list"),
        (document(Statement=["x"]), "statement 1 is an object"),
        ([allow(), allow(Sid="no spaces")], "statement 2: a Sid is made of letters"),
        ([allow(Sid=7)], "a Sid is made of letters"),
        ([allow(Sid="A"), allow(Sid="A")], "two statements have the Sid 'A'"),
        ([allow(Principal="*")], r"statement 1 has the element 'Principal'"),
        ([allow(Sid="A", condition={})], r"statement 1 \(A\) has the element 'condition'.*did you mean 'Condition'"),
        ([allow(Effect="allow")], "Effect is"),
        (without("Effect"), "Effect is"),
        (without("Action"), "needs Action or NotAction"),
        (without("Resource"), "needs Resource or NotResource"),
        ([allow(NotAction="*")], "and not both"),
        ([allow(NotResource="*")], "and not both"),
        ([allow([])], "Action is a text or a list"),
        ([allow([7])], "Action is a text or a list"),
        ([allow("dynamodb:GetItme")], "no action 'dynamodb:GetItme'; did you mean 'dynamodb:GetItem'"),
        ([allow("GetItem")], "no action 'GetItem'"),
        ([allow("s3:*")], "no action 's3:"),
        ([allow("dynamodb:${aws:username}")], "no action"),
        ([allow(resource="")], "no resource ''"),
        ([allow(resource="a b")], "no resource 'a b'"),
        ([allow(resource="table/orders/idx/by_date")], "no resource"),
        ([allow(resource="arn:aws:s3:::bucket/*")], "an ARN here is"),
        ([allow(resource="arn:aws:dynamodb:*")], "an ARN here is"),
        ([allow(resource="${aws:username")], "no resource|not closed"),
        ([allow(resource="${aws:nobody}-orders")], "no condition key 'aws:nobody'"),
        ([allow(Condition={})], "Condition is an object"),
        ([allow(Condition={"StringEquals": {}})], "StringEquals is an object"),
        ([allow(Condition={"StringEquals": "ann"})], "StringEquals is an object"),
        ([allow(**when(StringEqual={USER: "x"}))], "no condition operator 'StringEqual'; did you mean 'StringEquals'"),
        ([allow(**when(NumericEquals={USER: "x"}))], "no condition operator"),
        ([allow(**when(ForSomeValues__StringEquals={LEADING: "x"}))], "no condition operator"),
        ([allow(**when(ForAllValues__Null={LEADING: "true"}))], "no condition operator"),
        ([allow(**when(NullIfExists={LEADING: "true"}))], "no condition operator"),
        ([allow(Condition={":StringEquals": {USER: "x"}})], "no condition operator"),
        ([allow(Condition={7: {USER: "x"}})], "no condition operator"),
        ([allow(**when(StringEquals={"dynamodb:LeadingKey": "x"}))], "did you mean 'dynamodb:LeadingKeys'"),
        ([allow(**when(StringEquals={"aws:PrincipalTag/": "x"}))], "no condition key"),
        ([allow(**when(StringEquals={7: "x"}))], "no condition key 7"),
        ([allow(**when(StringEquals={LEADING: "x"}))], "has many values .* write ForAllValues:StringEquals"),
        ([allow(**when(DateLessThan={USER: "2026-01-01"}))], "DateLessThan does not fit aws:username"),
        ([allow(**when(StringEquals={"aws:CurrentTime": "2026"}))], "which is a date"),
        ([allow(**when(StringEquals={USER: []}))], "a text or a list of at least one"),
        ([allow(**when(StringEquals={USER: True}))], "a text or a list of at least one"),
        ([allow(**when(DateLessThan={"aws:CurrentTime": "soon"}))], "a date is written"),
        ([allow(**when(DateLessThan={"aws:CurrentTime": "9" * 5000}))], "a date is written"),
        ([allow(**when(Bool={"aws:SecureTransport": "yes"}))], "is true or false"),
        ([allow(**when(Null={LEADING: 1}))], "is true or false"),
        ([allow(**when(StringEquals={USER: "${aws:userid"}))], "not closed"),
        ([allow(**when(StringEquals={USER: "${}"}))], "no variable"),
        ([allow(**when(StringEquals={USER: "${aws:userid, ann}"}))], "no variable"),
        ([allow(**when(StringEquals={USER: "${dynamodb:LeadingKeys}"}))], "a variable stands for one text"),
        ([allow(**when(StringEquals={USER: "${aws:CurrentTime}"}))], "a variable stands for one text"),
        ({"Statement": allow(resource="${aws:username}")}, "variables: they need"),
        (
            {"Version": "2008-10-17", "Statement": allow(**when(StringLike={USER: "${aws:userid}"}))},
            "variables: they need",
        ),
    ],
)
def test_a_policy_that_is_understood_in_part_is_refused(policy, message):
    with pytest.raises(Invalid, match=message):
        Policy(policy)


def test_a_document_may_be_old_and_hold_one_statement():
    for policy in (
        {"Statement": allow()},
        document(Version="2008-10-17", Id="x"),
        document(Statement=(allow(Sid=""),)),
    ):
        Policy(policy).check("dynamodb:Scan", "orders")


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"action": "dynamodb:GetItme"}, "no action 'dynamodb:GetItme'; did you mean 'dynamodb:GetItem'"),
        ({"action": "dynamodb:*"}, "no action"),
        ({"resource": "orders*"}, "no resource"),
        ({"resource": "arn:aws:s3:::x"}, "an ARN here is"),
        ({"resource": "arn:aws:dynamodb:a:b:*"}, "no resource"),
        ({"context": {"aws:user": "ann"}}, "no condition key 'aws:user'"),
        ({"context": {"aws:username": 7}}, "aws:username is text in context, got 7"),
        ({"context": {"aws:SecureTransport": "true"}}, "is True or False in context"),
        ({"context": {"aws:CurrentTime": "2026-01-01"}}, "does not belong in context"),
        ({"context": {LEADING: "ann"}}, "does not belong in context"),
        ({"leading_keys": "ann"}, r"takes a list of values, got 'ann' \(write \['ann'\]\)"),
        ({"attributes": "ann"}, "takes a list of values"),
        ({"leading_keys": [True]}, "texts, numbers or bytes, got True"),
        ({"leading_keys": [None]}, "texts, numbers or bytes"),
    ],
)
def test_a_request_that_is_not_understood_is_neither_allowed_nor_denied(changed, message):
    policy = Policy([allow()])
    asked = {"action": "dynamodb:GetItem", "resource": "orders"} | changed
    for decide in (policy.check, policy.explain):
        with pytest.raises(Invalid, match=message):
            decide(**asked)


# -- patterns ---------------------------------------------------------------------------------------------------------


def fits(pattern, text):
    """The meaning of a pattern, as a sentence: what the first character may stand for, and the rest of both."""
    if not pattern:
        return not text
    if pattern[0] == "*":
        return fits(pattern[1:], text) or (text != "" and fits(pattern, text[1:]))
    return text != "" and pattern[0] in ("?", text[0]) and fits(pattern[1:], text[1:])


@given(st.text("ab*?", max_size=8), st.text("ab*", max_size=10))
@example("a*b*b", "aabab")
def test_a_pattern_fits_what_its_meaning_says(pattern, text):
    assert Template(pattern, wild=True).matches(text, {}) == fits(pattern, text)
    assert Template(pattern, wild=False).matches(text, {}) == (pattern == text)


def test_a_pattern_of_many_stars_takes_no_more_than_pattern_times_text():
    looked = 0

    class Counting(str):
        __slots__ = ()
        __hash__ = str.__hash__

        def __eq__(self, other):
            nonlocal looked
            looked += 1
            return str.__eq__(self, other)

    pattern = [*[MANY, Counting("a")] * 40, ONE, Counting("b")]
    assert not glob(pattern, "a" * 2000)
    assert looked <= len(pattern) * 2000
