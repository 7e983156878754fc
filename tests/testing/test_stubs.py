"""The promises of `env.stub`: another body, the same step."""

from __future__ import annotations

import pytest

from holdfast import FatalError, NotRegistered, RunFailed, StepFailed, step_info
from holdfast.testing import Environment, StubCall
from tests.testing import workflows_under_test as under_test
from tests.testing.workflows_under_test import Order

ORDER = Order(id="7", cents=4200)


async def test_a_stub_returns_what_it_was_given_and_tells_its_calls() -> None:
    async with Environment() as env:
        stub = env.stub(under_test.charge, returning="ch_1")
        assert await env.run(under_test.plain, ORDER) == "ch_1"
        assert stub.calls == [StubCall((ORDER,), {})]
        assert stub.call_count == 1


async def test_a_stub_of_a_plain_function_runs_without_a_thread() -> None:
    async with Environment() as env:
        env.stub(under_test.charge_in_thread, returning="at once")
        assert await env.run(under_test.in_thread, ORDER) == "at once"


async def test_a_stub_may_return_none_only_where_the_step_may() -> None:
    async with Environment() as env:
        env.stub(under_test.charge, returning=None)
        with pytest.raises(RunFailed, match="its result is not a valid str"):
            await env.run(under_test.plain, ORDER)


async def test_a_stub_that_raises_is_retried_as_the_step_is() -> None:
    async with Environment() as env:
        stub = env.stub(under_test.ship, raising=ConnectionError)
        with pytest.raises(RunFailed) as caught:
            await env.run(under_test.shipping, ORDER)
        assert isinstance(caught.value.__cause__, StepFailed)
        assert stub.call_count == 3
        final = env.stub(under_test.ship, raising=FatalError("lost"))
        with pytest.raises(RunFailed, match="lost"):
            await env.run(under_test.shipping, ORDER)
        assert final.call_count == 1


@pytest.mark.parametrize("is_async", [False, True])
async def test_a_stub_may_call_a_function_plain_or_async(is_async: bool) -> None:
    def body(order: Order) -> str:
        if step_info().attempt < 3:
            raise ConnectionError("down")
        return f"{order.id} at {step_info().attempt}"

    async def async_body(order: Order) -> str:
        return body(order)

    async with Environment() as env:
        env.stub(under_test.ship, calling=async_body if is_async else body)
        assert await env.run(under_test.shipping, ORDER) == "7 at 3"


async def test_a_step_may_be_named_and_a_later_stub_replaces_an_earlier() -> None:
    async with Environment() as env:
        env.stub(f"{under_test.__name__}.charge", returning="first")
        env.stub(under_test.charge, returning="second")
        assert await env.run(under_test.plain, ORDER) == "second"


async def test_stubs_end_with_their_environment() -> None:
    async with Environment() as env:
        env.stub(under_test.charge, returning="ch_1")
    async with Environment() as env:
        assert await env.run(under_test.plain, ORDER) == "ch_7_4200"


def test_wrong_use_of_a_stub_is_told() -> None:
    env = Environment()
    with pytest.raises(TypeError, match="got none"):
        env.stub(under_test.charge)
    with pytest.raises(TypeError, match="got returning, raising"):
        env.stub(under_test.charge, returning=1, raising=ValueError)
    with pytest.raises(TypeError, match="@step"):
        env.stub(under_test.plain, returning=1)
    with pytest.raises(TypeError, match="exception"):
        env.stub(under_test.charge, raising="no")
    with pytest.raises(TypeError, match="function"):
        env.stub(under_test.charge, calling="no")
    with pytest.raises(NotRegistered):
        env.stub("chrage", returning=1)
