"""What the decorators register, and what they refuse."""

from __future__ import annotations

import functools
from typing import Any

import pytest

from holdfast import NotRegistered, RetryPolicy, step, workflow
from holdfast.definitions import Registry, StepDefinition, WorkflowDefinition, definition_of, registry


def step_of(function: Any) -> StepDefinition:
    found = definition_of(function)
    assert isinstance(found, StepDefinition)
    return found


def workflow_of(function: Any) -> WorkflowDefinition:
    found = definition_of(function)
    assert isinstance(found, WorkflowDefinition)
    return found


@step
async def charge(order: int) -> str:
    """Charge the card.

    More words.
    """
    return str(order)


@step(
    name="definitions.all",
    retry=RetryPolicy(max_attempts=5),
    timeout="30s",
    total_timeout="1h",
    heartbeat_timeout="10s",
    queue="payments",
)
def charge_sync(order: int) -> str:
    return str(order)


@workflow(name="definitions.checkout", timeout="7d", version="3")
async def checkout(order: int) -> int:
    return order


def test_a_name_defaults_to_module_and_qualname() -> None:
    assert step_of(charge).name == f"{__name__}.charge"
    assert registry.step(f"{__name__}.charge") is step_of(charge)


def test_a_step_says_everything_about_how_it_is_run() -> None:
    found = step_of(charge_sync)
    assert (found.name, found.queue, found.is_async) == ("definitions.all", "payments", False)
    assert (found.timeout_ms, found.total_timeout_ms, found.heartbeat_timeout_ms) == (30_000, 3_600_000, 10_000)
    assert found.retry.max_attempts == 5
    assert step_of(charge).is_async
    assert step_of(charge).summary == "Charge the card."
    assert step_of(charge).source.startswith(f"{__file__}:")


def test_a_workflow_has_a_version_and_a_bound() -> None:
    found = workflow_of(checkout)
    assert (found.name, found.version, found.timeout_ms) == ("definitions.checkout", "3", 604_800_000)
    assert registry.workflow("definitions.checkout") is found


def test_registering_a_name_twice_is_an_error_that_tells_both_places() -> None:
    @step(name="definitions.twice")
    def first() -> None: ...

    with pytest.raises(ValueError, match=r"'definitions.twice' is registered twice, at .*\.py:\d+ and at .*\.py:\d+"):

        @step(name="definitions.twice")
        def second() -> None: ...

    assert registry.step("definitions.twice") is step_of(first)


def test_two_functions_of_one_name_in_one_module_are_two() -> None:
    @step
    def same() -> None: ...

    with pytest.raises(ValueError, match="registered twice"):

        @step
        def same() -> None: ...


def test_the_same_function_defined_again_replaces_itself() -> None:
    def define() -> Any:
        @step(name="definitions.again")
        def again() -> None: ...

        return again

    define()
    second = define()
    assert registry.step("definitions.again") is step_of(second)


def test_one_function_may_go_by_two_names() -> None:
    def ship() -> None: ...

    by_air, by_sea = step(name="definitions.air")(ship), step(name="definitions.sea")(ship)
    assert [step_of(it).name for it in (by_air, by_sea)] == ["definitions.air", "definitions.sea"]


def test_a_workflow_that_is_not_async_is_refused_with_what_to_write() -> None:
    with pytest.raises(TypeError, match="needs an async def"):

        @workflow
        def plain() -> None: ...  # type: ignore[type-var]


@pytest.mark.parametrize("thing", [3, len, functools.partial(print), type])
def test_what_is_no_function_is_refused(thing: Any) -> None:
    with pytest.raises(TypeError, match="@step decorates a function"):
        step(thing)


def test_generators_are_refused() -> None:
    with pytest.raises(TypeError, match="is a generator"):

        @step
        def numbers() -> Any:
            yield 1


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("name", ""),
        ("name", "x" * 257),
        ("name", "a\nb"),
        ("timeout", "soon"),
        ("timeout", 0),
        ("total_timeout", -1),
        ("heartbeat_timeout", "1 fortnight"),
        ("retry", 3),
        ("queue", 5),
        ("queue", "No Such Letters"),
        ("queue", "x" * 129),
    ],
)
def test_a_bad_option_is_refused_where_it_is_written_and_registers_nothing(option: str, value: Any) -> None:
    before = registry.definitions
    with pytest.raises(ValueError):
        step(**{option: value})(lambda: None)
    assert registry.definitions == before


def test_a_version_is_one_line_of_text() -> None:
    async def body() -> None: ...

    for wrong in ("1\n", "x" * 129, 3):
        with pytest.raises(ValueError, match="version"):
            workflow(version=wrong)(body)  # type: ignore[arg-type]


def test_an_unknown_name_is_answered_with_the_names_that_come_near() -> None:
    known = Registry()
    known.add(workflow_of(checkout))
    with pytest.raises(NotRegistered, match=r"did you mean definitions\.checkout"):
        known.workflow("definitions.chekout")
    with pytest.raises(NotRegistered, match="no step is registered"):
        known.step("anything")
