"""Requests in DynamoDB's fields: each answer is checked against botocore's output shapes, where botocore is installed.

asked(store, operation, **fields) is a request whose fields and answer go through JSON, as they would over a wire.
client(store) and resource(store) are boto3's own, whose bytes go to the store instead of a socket.
"""

import functools
import io
import itertools
import json

from engines import kv
from engines.errors import EngineError
from engines.kv.values import to_dynamodb_json

try:
    import botocore.session
    from botocore.model import ServiceModel
except ImportError:
    botocore = None

SERVICES = ("dynamodb", "dynamodbstreams")
KINDS = {
    "string": str,
    "blob": str,  # base64, in JSON
    "boolean": bool,
    "integer": int,
    "long": int,
    "double": (int, float),
    "timestamp": (int, float),
    "list": list,
    "map": dict,
    "structure": dict,
}


def asked(store, operation, /, **fields):
    """What an operation answers, in JSON's types."""
    answer = json.loads(json.dumps(kv.request(store, operation, json.loads(json.dumps(fields)))))
    check_shape(operation, answer)
    return answer


def refused(store, operation, /, **fields):
    """The body of the error that an operation answers; its name alone in "__type", its status in "status"."""
    try:
        answer = asked(store, operation, **fields)
    except EngineError as error:
        status, body = kv.error_body(error)
        body = json.loads(json.dumps(body))
        return {**body, "__type": body["__type"].partition("#")[2], "status": status}
    raise AssertionError(f"{operation} answered {answer}")


# --- a table to ask ---


def make_orders(store):
    """Three customers with ten orders each, an index of each kind, all by request."""
    asked(
        store,
        "CreateTable",
        TableName="orders",
        AttributeDefinitions=[
            {"AttributeName": name, "AttributeType": kind}
            for name, kind in {"customer": "S", "number": "N", "city": "S", "price": "N"}.items()
        ],
        KeySchema=schema("customer", "number"),
        GlobalSecondaryIndexes=[
            {
                "IndexName": "by_city",
                "KeySchema": schema("city", "price"),
                "Projection": {"ProjectionType": "KEYS_ONLY"},
            }
        ],
        LocalSecondaryIndexes=[
            {
                "IndexName": "by_price",
                "KeySchema": schema("customer", "price"),
                "Projection": {"ProjectionType": "INCLUDE", "NonKeyAttributes": ["note"]},
            }
        ],
        BillingMode="PAY_PER_REQUEST",
    )
    for customer in ("ann", "bob", "eve"):
        for number in range(10):
            asked(store, "PutItem", TableName="orders", Item=order(customer, number))
    return store.table("orders")


def schema(*names):
    return [{"AttributeName": name, "KeyType": kind} for name, kind in zip(names, ("HASH", "RANGE"), strict=False)]


def order(customer, number):
    return to_dynamodb_json(
        {
            "customer": customer,
            "number": number,
            "city": "Bern" if number % 2 else "Basel",
            "price": 100 - number,
            "note": f"{customer} {number}",
            "extra": b"\x00\xff",
        }
    )


def key(customer, number):
    return {"customer": {"S": customer}, "number": {"N": str(number)}}


ANN = {
    "TableName": "orders",
    "KeyConditionExpression": "customer = :c",
    "ExpressionAttributeValues": {":c": {"S": "ann"}},
}


# --- shapes ---


@functools.cache
def models():
    loader = botocore.session.get_session().get_component("data_loader")
    return [ServiceModel(loader.load_service_model(name, "service-2"), name) for name in SERVICES]


def check_shape(operation, answer):
    """Every field of an answer is one that the service has, of its type, with what its shape says must be there."""
    if botocore is not None:
        model = next(model for model in models() if operation in model.operation_names)
        _check(model.operation_model(operation).output_shape, answer, operation)


def _check(shape, value, path):
    kind = shape.type_name
    assert isinstance(value, KINDS[kind]), f"{path} is no {kind}: {value!r}"
    assert isinstance(value, bool) == (kind == "boolean"), f"{path} is no {kind}: {value!r}"
    if kind == "structure":
        missing, unknown = set(shape.required_members) - set(value), set(value) - set(shape.members)
        assert not missing, f"{path} lacks {missing}"
        assert not unknown, f"{path} has {unknown}, which the service does not know"
        for name, part in value.items():
            _check(shape.members[name], part, f"{path}.{name}")
    elif kind == "map":
        for name, part in value.items():
            _check(shape.value, part, f"{path}[{name!r}]")
    elif kind == "list":
        for number, part in enumerate(value):
            _check(shape.member, part, f"{path}[{number}]")
    elif kind == "string":
        assert not shape.enum or value in shape.enum, f"{path} is none of {shape.enum}: {value!r}"
        least = shape.metadata.get("min", 0)
        assert len(value) >= least, f"{path} has at least {least} characters: {value!r}"


# --- boto3 ---


class Answers:
    """In the place of the network: reads the request that boto3 would have sent, and answers it."""

    def __init__(self, store):
        self.store = store
        self.asked = []  # operations, in order

    def __call__(self, request, **_):
        from botocore.awsrequest import AWSResponse  # noqa: PLC0415 - an extra

        target = request.headers["X-Amz-Target"]
        operation = (target.decode() if isinstance(target, bytes) else target).rpartition(".")[2]
        self.asked.append(operation)
        try:
            status, body = 200, kv.request(self.store, operation, json.loads(request.body))
        except EngineError as error:
            status, body = kv.error_body(error)
        headers = {"Content-Type": "application/x-amz-json-1.0", "x-amzn-RequestId": str(len(self.asked))}
        return AWSResponse(request.url, status, headers, _Raw(json.dumps(body).encode()))


class _Raw(io.BytesIO):
    def stream(self, *_, **__):
        return itertools.takewhile(bool, iter(self.read, None))


def connect(target, store):
    """Let a boto3 client, or the client of a resource, talk to the store."""
    answers = Answers(store)
    target.meta.events.register("before-send", answers)
    return answers


def options():
    from botocore.config import Config  # noqa: PLC0415 - an extra

    return {
        "region_name": "us-east-1",
        "endpoint_url": "http://nowhere.invalid",
        "aws_access_key_id": "nobody",
        "aws_secret_access_key": "nothing",
        "config": Config(retries={"total_max_attempts": 1}, parameter_validation=True),
    }
