"""``@step`` and ``@workflow``: how plain functions become durable.

Owns what a decorated function does when it is called: in a workflow a step is scheduled and awaited, anywhere else it
is a plain call. How it runs after that is the runtime's, behind ``holdfast/context.py``. Must keep the signature that
people and type checkers see.
"""

from __future__ import annotations

import functools
import inspect
import sys
from collections.abc import Callable, Coroutine, Mapping
from types import FrameType, GenericAlias, UnionType
from typing import Any, Final, ParamSpec, Protocol, TypeVar, get_origin, overload

from holdfast.context import STEP, WORKFLOW, StepCall, WorkflowContext
from holdfast.definitions import (
    DEFINITION_ATTRIBUTE,
    Place,
    StepDefinition,
    WorkflowDefinition,
    checked_name,
    place_of,
    registry,
)
from holdfast.durations import Duration, optional_duration_ms
from holdfast.limits import check_line
from holdfast.queues import checked_queue
from holdfast.retry import RetryPolicy
from holdfast.serialization import decode_result, encode_bound
from holdfast.signatures import Arguments, Signature

P = ParamSpec("P")
R = TypeVar("R")
_Workflow = TypeVar("_Workflow", bound=Callable[..., Coroutine[Any, Any, Any]])


class StepDecorator(Protocol):
    """What ``step(...)`` with options gives: the signature stays, and the call can be awaited in a workflow."""

    @overload
    def __call__(self, function: Callable[P, Coroutine[Any, Any, R]], /) -> Callable[P, Coroutine[Any, Any, R]]: ...

    @overload
    def __call__(self, function: Callable[P, R], /) -> Callable[P, Coroutine[Any, Any, R]]: ...


@overload
def step(function: Callable[P, Coroutine[Any, Any, R]], /) -> Callable[P, Coroutine[Any, Any, R]]: ...


@overload
def step(function: Callable[P, R], /) -> Callable[P, Coroutine[Any, Any, R]]: ...


@overload
def step(
    *,
    name: str | None = None,
    retry: RetryPolicy | None = None,
    timeout: Duration | None = None,
    total_timeout: Duration | None = None,
    heartbeat_timeout: Duration | None = None,
    queue: str = "",
) -> StepDecorator: ...


def step(
    function: Callable[..., Any] | None = None,
    /,
    *,
    name: str | None = None,
    retry: RetryPolicy | None = None,
    timeout: Duration | None = None,
    total_timeout: Duration | None = None,
    heartbeat_timeout: Duration | None = None,
    queue: str = "",
) -> Any:
    """Make a function a step: awaited in a workflow its result is recorded once, and it is retried when it fails.

    An ``async def`` runs on the event loop, a plain ``def`` in a thread. ``timeout`` bounds one attempt,
    ``total_timeout`` all of them, ``heartbeat_timeout`` the silence of one. With a ``queue`` it runs only in runtimes
    and workers that serve that queue, else in the runtime that holds the run. Called outside a workflow, or in another
    step, it is a plain call of the function. Raises ValueError or TypeError where it is written.
    """

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        place = _checked_function(function, "step")
        step_name = checked_name(name, place)
        definition = StepDefinition(
            name=step_name,
            function=function,
            place=place,
            signature=Signature(function, f"step {step_name}", around),
            retry=checked_policy(retry),
            timeout_ms=optional_duration_ms(timeout, f"step {step_name}: timeout"),
            total_timeout_ms=optional_duration_ms(total_timeout, f"step {step_name}: total_timeout"),
            heartbeat_timeout_ms=optional_duration_ms(heartbeat_timeout, f"step {step_name}: heartbeat_timeout"),
            queue=checked_queue(queue, f"step {step_name}: queue"),
        )
        registry.add(definition)
        return _step_function(definition)

    around = _types_around(sys._getframe(1))
    return decorate if function is None else decorate(function)


@overload
def workflow(function: _Workflow, /) -> _Workflow: ...


@overload
def workflow(
    *, name: str | None = None, timeout: Duration | None = None, version: str = ""
) -> Callable[[_Workflow], _Workflow]: ...


def workflow(
    function: Callable[..., Any] | None = None,
    /,
    *,
    name: str | None = None,
    timeout: Duration | None = None,
    version: str = "",
) -> Any:
    """Make an ``async def`` a workflow: it can be started as a run, and survives the process that runs it.

    ``timeout`` bounds the whole run; ``version`` is a label of the code. Awaited in another workflow it runs inline,
    as part of the same run; anywhere else it is a plain call. Raises ValueError or TypeError where it is written.
    """

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        place = _checked_function(function, "workflow")
        if not inspect.iscoroutinefunction(function):
            raise TypeError(
                f"@workflow needs an async def, {place.qualname} ({place.source}) is none: "
                "write async def, or make it a @step"
            )
        workflow_name = checked_name(name, place)
        definition = WorkflowDefinition(
            name=workflow_name,
            function=function,
            place=place,
            signature=Signature(function, f"workflow {workflow_name}", around),
            version=_checked_text(version, f"workflow {workflow_name}: version"),
            timeout_ms=optional_duration_ms(timeout, f"workflow {workflow_name}: timeout"),
        )
        registry.add(definition)
        return _workflow_function(definition)

    around = _types_around(sys._getframe(1))
    return decorate if function is None else decorate(function)


def _step_function(definition: StepDefinition) -> Callable[..., Any]:
    function = definition.function

    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        context = WORKFLOW.get()
        if context is None or STEP.get() is not None:
            return function(*args, **kwargs)
        bound = definition.signature.bind(args, kwargs)
        frame = sys._getframe(1)
        coro: Any = _durable_call(context, definition, bound, f"{frame.f_code.co_filename}:{frame.f_lineno}")
        # Python's warning about a coroutine that nobody awaits then names the step.
        coro.__qualname__ = function.__qualname__
        return coro

    setattr(call, DEFINITION_ATTRIBUTE, definition)
    return call


async def _durable_call(context: WorkflowContext, definition: StepDefinition, bound: Arguments, source: str) -> Any:
    call = StepCall(definition, encode_bound(definition, bound), source)
    return decode_result(definition, await context.call_step(call))


def _workflow_function(definition: WorkflowDefinition) -> Callable[..., Any]:
    function = definition.function

    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        return function(*args, **kwargs)

    setattr(call, DEFINITION_ATTRIBUTE, definition)
    return call


#: What to do in place of ``yield``.
_NO_YIELD: Final = {
    "workflow": "write async def, and await steps instead of yielding them",
    "step": "return a list, or write the items to a stream() while it runs",
}


def _checked_function(function: object, word: str) -> Place:
    if not inspect.isfunction(function):
        raise TypeError(f"@{word} decorates a function, got {function!r}; options go by keyword: @{word}(name=…)")
    place = place_of(function)
    if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
        raise TypeError(
            f"@{word} needs a function that returns; {place.qualname} ({place.source}) is a generator: "
            f"{_NO_YIELD[word]}"
        )
    return place


def checked_policy(retry: object) -> RetryPolicy:
    """Return the policy, the default one for None. Raises ValueError for anything else."""
    if retry is None:
        return RetryPolicy()
    if not isinstance(retry, RetryPolicy):
        raise ValueError(f"retry must be a RetryPolicy, got {retry!r}; for no retry: RetryPolicy(max_attempts=1)")
    return retry


def _checked_text(value: object, what: str) -> str:
    if not isinstance(value, str) or len(value) > 128:
        raise ValueError(f"{what} must be text of at most 128 characters, got {value!r}")
    return check_line(value, what)


def _types_around(frame: FrameType) -> Mapping[str, Any]:
    """The types among the local names around a nested function, for annotations; a module's names need no copy."""
    if frame.f_locals is frame.f_globals:
        return {}
    kinds = (type, TypeVar, UnionType, GenericAlias)
    return {name: it for name, it in frame.f_locals.items() if isinstance(it, kinds) or get_origin(it) is not None}
