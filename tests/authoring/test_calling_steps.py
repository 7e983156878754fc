"""What a call of a step or workflow does, where it is made."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable
from dataclasses import dataclass, field
from typing import Any

import pytest

from holdfast import LimitExceeded, SerializationError, step, workflow
from tests.authoring.desk import in_step, in_workflow


@dataclass
class Order:
    id: str
    lines: list[str] = field(default_factory=list)


@step
async def charge(order: Order, *, currency: str = "EUR") -> str:
    return f"{order.id} {currency}"


@step
def charge_sync(order: Order, times: int = 1) -> Order:
    order.lines.append("charged")
    return Order(order.id, order.lines * times)


@step
async def wrong(value: Any) -> int:
    return value  # type: ignore[no-any-return]


@workflow
async def outer(order: Order) -> str:
    return await inner(order)


@workflow
async def inner(order: Order) -> str:
    return await charge(order)


async def test_outside_a_workflow_a_step_is_a_plain_call() -> None:
    order = Order("7")
    assert charge_sync(order) == Order("7", ["charged"])  # type: ignore[comparison-overlap]
    assert order.lines == ["charged"]
    assert await charge(order) == "7 EUR"


async def test_a_step_called_inside_a_step_is_a_plain_call() -> None:
    with in_workflow() as desk, in_step():
        assert charge_sync(Order("7")) == Order("7", ["charged"])  # type: ignore[comparison-overlap]
        assert await charge(Order("7")) == "7 EUR"
    assert desk.calls == []


async def test_in_a_workflow_nothing_happens_until_the_call_is_awaited() -> None:
    with in_workflow() as desk:
        call = charge(Order("7"))
        assert desk.calls == []
        assert await call == "7 EUR"
    assert len(desk.calls) == 1


async def test_arguments_and_results_are_copies() -> None:
    order = Order("7")
    with in_workflow():
        result = await charge_sync(order)
    assert order.lines == []
    assert result == Order("7", ["charged"])


async def test_a_call_can_be_wrapped_in_a_task_and_gathered() -> None:
    with in_workflow():
        one, two = await asyncio.gather(charge(Order("1")), asyncio.create_task(charge_sync(Order("2"))))
    assert (one, two) == ("1 EUR", Order("2", ["charged"]))


async def test_the_same_call_is_the_same_payload_however_it_is_written() -> None:
    with in_workflow() as desk:
        await charge_sync(Order("7"), 2)
        await charge_sync(order=Order("7"), times=2)
        await charge(Order("7"), currency="USD")
    assert desk.calls[0].input == desk.calls[1].input
    assert desk.calls[2].input.text == '{"args":[{"id":"7","lines":[]}],"kwargs":{"currency":"USD"}}'


def test_a_call_that_does_not_fit_the_signature_is_a_type_error_at_the_call() -> None:
    with in_workflow(), pytest.raises(TypeError, match=r"charge\(\) missing a required argument: 'order'"):
        charge()  # type: ignore[call-arg]


async def test_an_argument_that_cannot_be_encoded_is_told_with_step_parameter_and_type() -> None:
    with (
        in_workflow() as desk,
        pytest.raises(SerializationError, match=r"charge: parameter 'order' is not a valid Order"),
    ):
        await charge("no order")  # type: ignore[arg-type]
    assert desk.calls == []


async def test_arguments_that_are_too_large_are_refused_at_the_call() -> None:
    with in_workflow() as desk, pytest.raises(LimitExceeded) as refused:
        await charge(Order("7", ["x" * 3_000_000]))
    assert (refused.value.limit, desk.calls) == ("payload_bytes", [])


async def test_a_result_is_validated_against_the_annotation() -> None:
    with in_workflow(), pytest.raises(SerializationError, match=r"wrong: its result is not a valid int"):
        await wrong("text")


async def test_a_workflow_called_in_a_workflow_runs_inline_and_outside_as_a_plain_call() -> None:
    with in_workflow() as desk:
        assert await outer(Order("7")) == "7 EUR"
    assert [call.definition.name for call in desk.calls] == [f"{__name__}.charge"]
    assert await outer(Order("7")) == "7 EUR"


async def test_a_call_tells_its_line() -> None:
    with in_workflow() as desk:
        line = inspect.currentframe().f_lineno + 1  # type: ignore[union-attr]
        await charge(Order("7"))
    assert desk.calls[0].source == f"{__file__}:{line}"


def test_a_decorated_function_keeps_its_name_and_documentation() -> None:
    assert (charge.__name__, inspect.signature(charge_sync).parameters.keys()) == ("charge", {"order", "times"})


async def test_annotations_may_name_types_of_an_enclosing_function_and_types_defined_later() -> None:
    @dataclass
    class Local:
        n: int

    @step
    async def local(value: Local, later: Later) -> Local:
        return Local(value.n + later.n)

    with in_workflow():
        result: Awaitable[Local] = local(Local(1), Later(2))
        assert await result == Local(3)


@dataclass
class Later:
    n: int
