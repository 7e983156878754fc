"""Types of one's own, all the way: generics, unions, forward references, defaults; through a store, not only JSON."""

from __future__ import annotations

import json
import typing
from dataclasses import dataclass, field
from decimal import Decimal
from enum import Enum
from typing import Annotated, Any, Generic, Literal, TypeVar

import pytest
from pydantic import BaseModel, Field
from typing_extensions import TypeAliasType

from holdfast import Client, SerializationError, step, workflow
from holdfast.definitions import definition_of
from holdfast.serialization import decode_args, decode_value, encode_args, encode_value
from runtime_service.api.definitions import list_definitions
from tests.support.runtime import new_registry, running_runtime

T = TypeVar("T")
K = TypeVar("K")


class Page(BaseModel, Generic[T]):
    items: list[T]
    following: Page[T] | None = None


@dataclass(frozen=True)
class Pair(Generic[K, T]):
    key: K
    value: T


class Card(BaseModel):
    kind: Literal["card"] = "card"
    digits: str


class Cash(BaseModel):
    kind: Literal["cash"] = "cash"
    coins: dict[int, int]


Payment = Annotated[Card | Cash, Field(discriminator="kind")]
Positive = Annotated[int, Field(gt=0)]
Json = TypeAliasType("Json", "dict[str, Json] | list[Json] | str | int | None")


class Level(Enum):
    LOW = 1
    HIGH = 2


class Note(typing.TypedDict):
    text: str
    stars: typing.NotRequired[int]


@step(name="keep")
async def keep(note: Note, others: list[Note]) -> Note:
    return note


@step
async def price(order: Order, *, discount: Decimal = Decimal("0.5")) -> Pair[str, Decimal]:
    return Pair(order.name, discount * order.count)


@workflow(name="rich")
async def rich(order: Order, payments: list[Payment], level: Level = Level.HIGH, *, big: int = 2**200) -> Result:
    priced = await price(order, discount=Decimal("1.10"))
    assert isinstance(priced, Pair) and isinstance(order, Order)
    return Result(priced, Page[Payment](items=payments), level, big, {10**30, 3}, (order.blob, None))


@dataclass
class Order:
    """Defined after the functions that mention it."""

    name: str
    count: Positive
    blob: bytes = b""
    parts: list[Order] = field(default_factory=list)


@dataclass
class Result:
    priced: Pair[str, Decimal]
    page: Page[Payment]
    level: Level
    big: int
    numbers: set[int]
    rest: tuple[bytes, None]


ROUND_TRIPS: list[tuple[Any, Any]] = [
    (Page[int], Page[int](items=[1], following=Page[int](items=[2]))),
    (Page[Pair[str, bytes]], Page[Pair[str, bytes]](items=[Pair("a", b"\xff")])),
    (Pair[int, set[str]], Pair(1, {"b", "a"})),
    (Payment, Cash(coins={2: 3})),
    (list[Card | int | None], [Card(digits="1"), 5, None]),
    (Json, {"a": [1, {"b": None}, "c"]}),
    (dict[str, Positive], {"a": 1}),
    (list[Note], [{"text": "a"}, {"text": "b", "stars": 5}]),
    (Order, Order("a", 1, b"\xff", [Order("b", 2)])),
    (Any, {"big": 10**60, "small": -(2**64), "list": [2**53 + 1]}),
    (int | str, 2**63),
    (list[int], [2**53 + 1, -(10**40)]),
]


def type_name(it: object) -> str | None:
    """Name a case by its type alone: how a set is printed differs from process to process."""
    return str(it)[:40] if isinstance(it, type) or hasattr(it, "__origin__") else None


@pytest.mark.parametrize(("kind", "value"), ROUND_TRIPS, ids=type_name)
def test_a_type_of_ones_own_comes_back_as_it_went(kind: Any, value: Any) -> None:
    payload = encode_value(kind, value)
    result = decode_value(kind, payload)
    assert result == value
    assert type(result) is type(value)
    assert decode_value(kind, encode_value(kind, result)) == value
    json.loads(payload.text)


@pytest.mark.parametrize(
    ("kind", "text", "said"),
    [
        (Payment, '{"kind":"cheque"}', "cheque"),
        (Page[int], '{"items":["x"]}', r"items\.0"),
        (dict[str, Positive], '{"a":0}', "greater than 0"),
        (Level, "3", "1 or 2"),
    ],
)
def test_what_does_not_fit_a_type_says_where(kind: Any, text: str, said: str) -> None:
    payload = encode_value(Any, json.loads(text))
    with pytest.raises(SerializationError, match=said):
        decode_value(kind, payload)


def test_defaults_are_those_of_the_function_not_of_the_log() -> None:
    definition: Any = definition_of(rich)
    payload = encode_args(definition, [Order("a", 1), []], {})
    args, kwargs = decode_args(definition, payload)
    assert (len(args), kwargs) == (2, {})
    assert "big" not in payload.text


def test_a_type_of_an_enclosing_function_is_found() -> None:
    class Local(BaseModel):
        value: int

    @step(name="takes-local")
    async def takes(value: Local) -> list[Local]:
        return [value]

    definition: Any = definition_of(takes)
    assert decode_args(definition, encode_args(definition, [Local(value=1)], {})) == ((Local(value=1),), {})


async def test_every_type_goes_through_a_run_and_comes_back(store_address: str) -> None:
    order = Order("tea", 3, b"\x00\xff", [Order("cup", 1)])
    payments: list[Payment] = [Card(digits="42"), Cash(coins={5: 1})]
    async with running_runtime(store_address, rich, price) as runtime, Client(runtime.address) as client:
        result = await (await client.start(rich, order, payments)).result("20s")
    assert result == Result(
        Pair("tea", Decimal("3.30")),
        Page[Payment](items=payments),
        Level.HIGH,
        2**200,
        {10**30, 3},
        (b"\x00\xff", None),
    )


async def test_what_is_stored_is_json_that_people_can_read(store_address: str) -> None:
    async with running_runtime(store_address, rich, price) as runtime, Client(runtime.address) as client:
        run = await client.start("rich", {"name": "tea", "count": 1}, [{"digits": "1", "kind": "card"}])
        plain = await run.result("20s")
    assert plain["page"]["items"] == [{"kind": "card", "digits": "1"}]
    assert plain["big"] == 2**200
    assert plain["level"] == 2


def test_workflows_and_steps_are_listed_with_the_schemas_of_their_types() -> None:
    listed = {it.name: it for it in list_definitions(new_registry(rich, price)).definitions}
    schema = json.loads(listed["rich"].input_schema)
    assert schema["required"] == ["order", "payments"]
    assert schema["properties"]["payments"]["items"]["discriminator"]["propertyName"] == "kind"
    assert schema["$defs"]["Order"]["properties"]["count"]["exclusiveMinimum"] == 0
    answer = json.loads(listed["rich"].output_schema)
    assert answer["title"] == "Result" and {"Card", "Cash", "Level"} <= set(answer["$defs"])
    (step_schema,) = [json.loads(it.input_schema) for it in listed.values() if it.name.endswith("price")]
    assert step_schema["required"] == ["order"]
    assert "discount" in step_schema["properties"]


def test_typed_dicts_have_schemas_too() -> None:
    (listed,) = list_definitions(new_registry(keep)).definitions
    assert json.loads(listed.input_schema)["$defs"]["Note"]["required"] == ["text"]
    assert json.loads(listed.output_schema)["properties"]["stars"] == {"title": "Stars", "type": "integer"}
