"""``remote_step``: a step whose body is somewhere else, in any language, called from workflows like a local one.

Owns the declaration and the call. The value goes out as plain JSON, so that a worker in another language reads it with
its own parser; what comes back is validated against ``output``. Who runs it is a step worker of the queue, see
``protos/holdfast/v1/step_worker_service.proto`` and docs/authoring/workers.md.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar, overload

from holdfast.context import STEP, WORKFLOW, StepCall, WorkflowContext
from holdfast.decorators import checked_policy
from holdfast.definitions import DEFINITION_ATTRIBUTE, Place, StepDefinition, checked_name, registry
from holdfast.durations import Duration, optional_duration_ms
from holdfast.errors import WrongContext
from holdfast.loading import module_name
from holdfast.queues import DEFAULT_QUEUE, checked_queue, goes_out
from holdfast.retry import RetryPolicy
from holdfast.serialization import decode_result, encode_only_value
from holdfast.signatures import Arguments, Signature

I = TypeVar("I")  # noqa: E741 - what goes in
O = TypeVar("O")  # noqa: E741 - what comes out

#: What a workflow awaits.
RemoteStep = Callable[[I], Coroutine[Any, Any, O]]


@overload
def remote_step(
    name: str,
    *,
    queue: str,
    input: type[I],
    output: type[O],
    retry: RetryPolicy | None = None,
    timeout: Duration | None = None,
    total_timeout: Duration | None = None,
    heartbeat_timeout: Duration | None = None,
) -> RemoteStep[I, O]: ...


@overload
def remote_step(
    name: str,
    *,
    queue: str,
    input: Any = Any,
    output: Any = Any,
    retry: RetryPolicy | None = None,
    timeout: Duration | None = None,
    total_timeout: Duration | None = None,
    heartbeat_timeout: Duration | None = None,
) -> Callable[..., Coroutine[Any, Any, Any]]: ...


def remote_step(
    name: str,
    *,
    queue: str,
    input: Any = Any,
    output: Any = Any,
    retry: RetryPolicy | None = None,
    timeout: Duration | None = None,
    total_timeout: Duration | None = None,
    heartbeat_timeout: Duration | None = None,
) -> Callable[..., Coroutine[Any, Any, Any]]:
    """Declare a step that workers of ``queue`` run, and return what workflows await: ``await render(job)``.

    ``input`` is the type of its one argument, ``None`` when it takes none; ``output`` that of its result. The options
    are those of ``@step``. The step waits until a worker takes it, as long as that may be; only its attempts are bound
    by timeouts. Calling it outside a workflow raises WrongContext. Raises ValueError and TypeError where it is written.
    """
    place = _place(name, sys._getframe(1).f_globals, sys._getframe(1).f_lineno)
    step_name = checked_name(name, place)
    what = f"step {step_name}"
    if not goes_out(checked_queue(queue, f"{what}: queue")):
        raise ValueError(f"{what}: a remote step needs a queue of its own, not {queue!r}: {DEFAULT_QUEUE!r} stays here")
    function = _stand_in(step_name, input, output)
    definition = StepDefinition(
        name=step_name,
        function=function,
        place=place,
        signature=Signature(function, what),
        retry=checked_policy(retry),
        timeout_ms=optional_duration_ms(timeout, f"{what}: timeout"),
        total_timeout_ms=optional_duration_ms(total_timeout, f"{what}: total_timeout"),
        heartbeat_timeout_ms=optional_duration_ms(heartbeat_timeout, f"{what}: heartbeat_timeout"),
        queue=queue,
        is_remote=True,
    )
    registry.add(definition)
    return _remote_function(definition)


def _remote_function(definition: StepDefinition) -> Callable[..., Coroutine[Any, Any, Any]]:
    def call(*args: Any, **kwargs: Any) -> Coroutine[Any, Any, Any]:
        bound = definition.signature.bind(args, kwargs)
        context = WORKFLOW.get()
        if context is None or STEP.get() is not None:
            raise _no_body(definition.name)
        frame = sys._getframe(1)
        return _called(context, definition, bound, f"{frame.f_code.co_filename}:{frame.f_lineno}")

    call.__name__ = call.__qualname__ = definition.name
    call.__doc__ = definition.function.__doc__
    call.__module__ = definition.place.module
    setattr(call, DEFINITION_ATTRIBUTE, definition)
    return call


async def _called(context: WorkflowContext, definition: StepDefinition, bound: Arguments, source: str) -> Any:
    call = StepCall(definition, encode_only_value(definition, bound), source)
    return decode_result(definition, await context.call_step(call))


def _stand_in(name: str, input: Any, output: Any) -> Callable[..., Any]:
    """Build the function that the rest of holdfast sees: the right signature, and a body that says where it is not."""

    async def elsewhere(input: Any) -> Any:
        raise _no_body(name)

    async def elsewhere_without_input() -> Any:
        raise _no_body(name)

    function: Callable[..., Any] = elsewhere_without_input if input is None else elsewhere
    function.__annotations__ = {"return": output} if input is None else {"input": input, "return": output}
    function.__qualname__ = name
    function.__doc__ = f"Remote step {name}."
    return function


def _no_body(name: str) -> WrongContext:
    return WrongContext(
        f"step {name} is remote: it can be awaited in a workflow only, and a worker of its queue runs it; "
        "in a test, stub it"
    )


def _place(name: str, names: dict[str, Any], line: int) -> Place:
    """Return where the step is declared; a reload declares the same name in the same module again."""
    module = str(names.get("__name__", ""))
    source = f"{names.get('__file__', '')}:{line}"
    return Place(module_name(module), f"remote_step {name}", source, names.get("__spec__") or id(names))
