"""What workflows and steps call besides each other: time, chance, attributes, and who they are.

Owns the choice of the context: in a workflow the answers come from the log, in a step and elsewhere they are the real
ones, and what cannot work raises WrongContext. Must do nothing durable itself: that is behind ``holdfast/context.py``.
Hooks are in ``holdfast/hooks.py``.
"""

from __future__ import annotations

import asyncio
import random as _random
import time
import uuid as _uuid
from collections.abc import Coroutine, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from holdfast.context import STEP, WORKFLOW, RunInfo, StepContext, StepInfo, WorkflowContext
from holdfast.durations import Duration, duration_ms, moment_ms
from holdfast.errors import WrongContext
from holdfast.limits import check_attribute_count, check_attributes

#: Characters of the name of a change; the store refuses longer ones.
PATCH_NAME_CHARS_MAX: Final = 256

#: What ``random()`` gives outside a workflow.
_REAL_RANDOM: Final = _random.Random()


def sleep(delay: Duration | datetime) -> Coroutine[Any, Any, None]:
    """Sleep for a duration ("1h 30m", seconds, timedelta) or until an aware datetime; in a workflow durably.

    A moment in the past is now. Raises ValueError for a malformed duration, WrongContext in a step.
    """
    if STEP.get() is not None:
        raise WrongContext("sleep() is for workflows; in a step use asyncio.sleep() or time.sleep()")
    if not isinstance(delay, datetime):
        return asyncio.sleep(duration_ms(delay, "sleep") / 1000)
    return asyncio.sleep(max(0, moment_ms(delay, "sleep") - _now_ms()) / 1000)


def now() -> datetime:
    """Return the time, aware, UTC; in a workflow that of the newest event it has seen."""
    context = current_workflow()
    return context.now() if context is not None else datetime.now(UTC)


def random() -> _random.Random:
    """Return a source of random numbers; in a workflow its numbers are the same in every replay."""
    context = current_workflow()
    return context.random() if context is not None else _REAL_RANDOM


def uuid4() -> _uuid.UUID:
    """Return a random UUID; in a workflow the same one in every replay."""
    context = current_workflow()
    return context.uuid4() if context is not None else _uuid.uuid4()


def patched(name: str) -> bool:
    """Say whether a workflow is past a named change of its code: True for new runs, False where a run went before it.

    For changes that runs in flight meet: ``if patched("fraud check"): await check(order)``. The answer is the same in
    every replay; the first True of a name is recorded in the log. In a loop, turns that the run went through with the
    code before the change get False and all later ones True. Plain calls outside a runtime get True.

    Raises ValueError for a name that is not 1 to 256 printable characters, WrongContext in a step.
    """
    if not isinstance(name, str) or not 1 <= len(name) <= PATCH_NAME_CHARS_MAX or not name.isprintable():
        raise ValueError(f"patched() takes the name of a change, 1 to 256 printable characters, got {name!r}")
    if STEP.get() is not None:
        raise WrongContext("patched() is for workflow bodies; a step always runs the code of its process")
    context = current_workflow()
    return context is None or context.patched(name)


def run_info() -> RunInfo:
    """Return the run that this code belongs to. Raises WrongContext outside workflows and steps."""
    context, attempt = current_workflow(), STEP.get()
    if attempt is not None:
        return attempt.run
    if context is not None:
        return context.run_info()
    raise WrongContext("run_info() works in workflows and steps that a runtime runs")


def step_info() -> StepInfo:
    """Return the step attempt that is running. Raises WrongContext outside steps."""
    attempt = STEP.get()
    if attempt is None:
        raise WrongContext("step_info() works in steps that a runtime runs; in a workflow use run_info()")
    return attempt.info


def heartbeat(details: Any = None) -> None:
    """Report that the step is alive, with details that its next attempt may read. Safe from any thread.

    Does nothing in a plain call of a step. Raises WrongContext in a workflow body, SerializationError for bad details.
    """
    attempt = _attempt("heartbeat")
    if attempt is not None:
        attempt.heartbeat(details)


def last_heartbeat() -> Any:
    """Return what an earlier attempt of this step reported last, None when there is nothing."""
    attempt = _attempt("last_heartbeat")
    return None if attempt is None else attempt.last_heartbeat


def cancelled() -> bool:
    """Tell whether the step attempt was called off: by a timeout, or because its run no longer wants it.

    For plain functions, which run in threads that nobody can stop: poll it and return early; what is returned then is
    dropped. False in a plain call of a step. Safe from any thread; raises WrongContext in a workflow body.
    """
    attempt = _attempt("cancelled")
    return attempt is not None and attempt.is_cancelled


def set_attributes(**changes: str | None) -> Coroutine[Any, Any, None]:
    """Set searchable attributes of the run; None removes one. Await it.

    At most 64, a key of 256 characters, a value of 256 bytes: beyond it LimitExceeded, at the call. Raises TypeError
    for values that are no text, WrongContext outside workflows and steps.
    """
    check_attributes(changes)
    context, attempt = current_workflow(), STEP.get()
    if attempt is None and context is None:
        raise WrongContext("set_attributes() works in workflows and steps that a runtime runs")
    check_attribute_count(run_info().attributes, changes)
    return _set_attributes(context, attempt, changes)


def current_workflow() -> WorkflowContext | None:
    """Return the workflow whose body is running, None in steps and elsewhere."""
    return WORKFLOW.get() if STEP.get() is None else None


async def _set_attributes(
    context: WorkflowContext | None, attempt: StepContext | None, changes: Mapping[str, str | None]
) -> None:
    if attempt is not None:
        await attempt.set_attributes(changes)
    elif context is not None:
        context.set_attributes(changes)


# Python's warning about a coroutine that nobody awaits then names what was written.
_set_attributes.__qualname__ = "set_attributes"


def _attempt(primitive: str) -> StepContext | None:
    if current_workflow() is not None:
        raise WrongContext(f"{primitive}() is for steps; a workflow body needs none, it does not run while it waits")
    return STEP.get()


def _now_ms() -> int:
    context = current_workflow()
    if context is None:
        return time.time_ns() // 1_000_000
    return (context.now() - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1)
