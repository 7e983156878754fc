"""Child runs: ``await start(other, x)`` in a workflow starts a run of its own and gives a handle on it.

Everything a handle does is a built-in step, so it is recorded and replayed like any other: starting, asking for the
state and cancelling are attempts of the runtime; waiting for the result is a *passive* step, of which no attempt ever
runs, so a parent that waits holds nothing (hazard 28). Must never touch the wire: what is behind the steps is
``RunsPort`` in ``holdfast/context.py``. From outside a workflow the same verbs are ``Client``'s.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from datetime import datetime
from types import MappingProxyType
from typing import Any, Final, Generic, TypeVar, overload

from google.protobuf import json_format

from holdfast.context import STEP, StepCall, StepContext, WorkflowContext
from holdfast.definitions import StepDefinition, WorkflowDefinition, place_of
from holdfast.durations import Duration, duration_ms
from holdfast.errors import (
    HoldfastError,
    InvalidRequest,
    LimitExceeded,
    NotRegistered,
    PermissionDenied,
    RemoteError,
    RunCancelled,
    RunExists,
    RunFailed,
    RunNotFound,
    SerializationError,
    StepFailed,
    Unauthenticated,
    WrongContext,
)
from holdfast.failures import from_failure
from holdfast.primitives import current_workflow
from holdfast.requests import cancel_request, child_request, status_word, workflow_of
from holdfast.retry import ATTEMPTS_MAX, RetryPolicy
from holdfast.serialization import decode_result, decode_value, encode_args
from holdfast.signatures import Signature
from holdfast.v1 import entity_pb2, payload_pb2, runtime_service_pb2

R = TypeVar("R")
_R = TypeVar("_R", covariant=True)
_NONE: Mapping[str, Any] = MappingProxyType({})

#: A store that is away is waited for; what the store or the runtime answers for good is not asked again.
_PATIENT: Final = RetryPolicy(
    max_attempts=ATTEMPTS_MAX,
    non_retryable=(
        *(RunExists, RunNotFound, NotRegistered, InvalidRequest, LimitExceeded, SerializationError),
        *(PermissionDenied, Unauthenticated, TypeError),
    ),
)


class ChildRun(Generic[_R]):
    """A run as a workflow sees it, by its id. Every question is recorded, so a replay gets the same answers."""

    def __init__(self, run_id: str, workflow: WorkflowDefinition | None = None) -> None:
        self._run_id = run_id
        self._workflow = workflow

    @property
    def id(self) -> str:
        """The id of the run."""
        return self._run_id

    def result(self, timeout: Duration | None = None) -> Coroutine[Any, Any, _R]:
        """Wait for the end and return the result. Waiting takes no slot and no memory, for days if need be.

        Raises RunFailed (``failure``, the original error as ``__cause__``), RunCancelled, RunNotFound when the run was
        deleted, and TimeoutError when it has not ended after ``timeout``. Leaving the wait early, by a timeout or a
        cancellation, leaves the child alone.
        """
        _workflow("result")
        limit = None if timeout is None else duration_ms(timeout, "timeout") / 1000
        return self._result(limit, _calling_line())

    def status(self) -> Coroutine[Any, Any, str]:
        """Return "pending", "running", "completed", "failed" or "cancelled". Raises RunNotFound."""
        _workflow("status")
        return _perform("status", RUN_STATUS, (self._run_id,), _calling_line())

    def cancel(self, reason: str = "", *, force: bool = False, recursive: bool = False) -> Coroutine[Any, Any, bool]:
        """Ask the run to stop; with ``force`` end it at once, with ``recursive`` its child runs too.

        False when it had ended before. Raises RunNotFound.
        """
        _workflow("cancel")
        request = cancel_request(self._run_id, reason, force, recursive)
        return _perform("cancel", CANCEL_RUN, (_as_dict(request),), _calling_line())

    async def _result(self, limit_seconds: float | None, source: str) -> Any:
        call = StepCall(AWAIT_RUN, encode_args(AWAIT_RUN, (self._run_id,), {}), source)
        try:
            async with asyncio.timeout(limit_seconds):
                output = await _workflow("result").call_step(call)
        except StepFailed as failed:
            error = _ending(self._run_id, failed)
        else:
            return decode_value(Any, output) if self._workflow is None else decode_result(self._workflow, output)
        raise error

    def __repr__(self) -> str:
        return f"<ChildRun {self._run_id}>"


@overload
def start(
    workflow: Callable[..., Coroutine[Any, Any, R]],
    /,
    *args: Any,
    id: str | None = None,
    attributes: Mapping[str, str] = _NONE,
    start_at: datetime | None = None,
    on_conflict: str = "fail",
    kwargs: Mapping[str, Any] = _NONE,
) -> Coroutine[Any, Any, ChildRun[R]]: ...


@overload
def start(
    workflow: str,
    /,
    *args: Any,
    id: str | None = None,
    attributes: Mapping[str, str] = _NONE,
    start_at: datetime | None = None,
    on_conflict: str = "fail",
    kwargs: Mapping[str, Any] = _NONE,
) -> Coroutine[Any, Any, ChildRun[Any]]: ...


def start(
    workflow: Any,
    /,
    *args: Any,
    id: str | None = None,
    attributes: Mapping[str, str] = _NONE,
    start_at: datetime | None = None,
    on_conflict: str = "fail",
    kwargs: Mapping[str, Any] = _NONE,
) -> Coroutine[Any, Any, ChildRun[Any]]:
    """Start a child run of a workflow, given as function or by name, from a workflow body. Await it.

    The options are those of ``Client.start``. Without ``id`` the child gets one that is the same in every replay; a
    crash in between starts no second child. The child lives on when its parent ends. Raises RunExists and NotRegistered
    at the await, WrongContext in a step and outside workflows, and what is wrong with an argument at the call.
    """
    _workflow("start")
    definition = workflow_of(workflow)
    request = child_request(
        workflow, args, kwargs, run_id=id, attributes=attributes, start_at=start_at, on_conflict=on_conflict
    )
    return _started(request, definition, _calling_line())


async def _started(
    request: runtime_service_pb2.StartRunRequest, definition: WorkflowDefinition | None, source: str
) -> ChildRun[Any]:
    if not request.run_id:
        # Nobody else has this id: whoever has it is this very child, started by an attempt before.
        request.run_id = _workflow("start").child_run_id()
        request.conflict_policy = runtime_service_pb2.RUN_CONFLICT_POLICY_USE_EXISTING
    try:
        run_id = await _perform("start", START_RUN, (_as_dict(request),), source)
    except RunExists as taken:
        taken.run_id = request.run_id
        raise
    return ChildRun(run_id, definition)


async def _perform(verb: str, definition: StepDefinition, args: tuple[Any, ...], source: str) -> Any:
    """Call a built-in step; an error of holdfast itself is raised as it is, without the step around it."""
    call = StepCall(definition, encode_args(definition, args, {}), source)
    try:
        return decode_result(definition, await _workflow(verb).call_step(call))
    except StepFailed as failed:
        error = failed.__cause__
        if not isinstance(error, HoldfastError) or isinstance(error, RemoteError):
            raise
    raise error


def _ending(run_id: str, failed: StepFailed) -> BaseException:
    """Return what a child that did not complete raises in its parent."""
    failure = failed.failure or payload_pb2.Failure()
    if failure.category == payload_pb2.FAILURE_CATEGORY_CANCELLED:
        return RunCancelled(run_id, failure.message)
    if failure.category == payload_pb2.FAILURE_CATEGORY_INTERNAL and isinstance(failed.__cause__, RunNotFound):
        return failed.__cause__
    error = RunFailed(run_id, failure)
    error.__cause__ = from_failure(failure)
    return error


def _workflow(verb: str) -> WorkflowContext:
    context = current_workflow()
    if context is not None:
        return context
    if STEP.get() is not None:
        raise WrongContext(f"{verb}() of child runs is for workflow bodies; in a step use a Client")
    raise WrongContext(f"{verb}() of child runs is for workflow bodies; outside use `await client.{_CLIENT[verb]}`")


_CLIENT: Final = {
    "start": "start(…)",
    "result": "run(id).result()",
    "status": "run(id).status()",
    "cancel": "run(id).cancel()",
}


def _calling_line() -> str:
    frame = sys._getframe(2)
    return f"{frame.f_code.co_filename}:{frame.f_lineno}"


def _as_dict(
    request: runtime_service_pb2.StartRunRequest | runtime_service_pb2.CancelRunRequest,
) -> dict[str, Any]:
    return json_format.MessageToDict(request, preserving_proto_field_name=True)


# What the runtime runs for the built-in steps.


async def _start_run(request: dict[str, Any]) -> str:
    """Start a child run; returns its id."""
    attempt = _attempt()
    return await attempt.runs.start(attempt, json_format.ParseDict(request, runtime_service_pb2.StartRunRequest()))


async def _run_status(run_id: str) -> str:
    """Return the state of a run."""
    return status_word(entity_pb2.Run(status=await _attempt().runs.status(run_id)))


async def _cancel_run(request: dict[str, Any]) -> bool:
    """Ask a run to stop; False when it had ended before."""
    return await _attempt().runs.cancel(json_format.ParseDict(request, runtime_service_pb2.CancelRunRequest()))


async def _await_run(run_id: str) -> Any:
    """Wait for the end of a run; returns its output."""
    raise WrongContext(f"the wait for run {run_id} is written by the runtime, it is never run")


def _attempt() -> StepContext:
    attempt = STEP.get()
    assert attempt is not None, "built-in steps run in a runtime only"
    return attempt


def _built_in(name: str, function: Callable[..., Awaitable[Any]], *, is_passive: bool = False) -> StepDefinition:
    # Not registered: a runtime finds it by the call, and nobody's own step can take its place.
    signature = Signature(function, f"step {name}")
    return StepDefinition(name, function, place_of(function), signature, retry=_PATIENT, is_passive=is_passive)


START_RUN: Final = _built_in("holdfast.start_run", _start_run)
RUN_STATUS: Final = _built_in("holdfast.run_status", _run_status)
CANCEL_RUN: Final = _built_in("holdfast.cancel_run", _cancel_run)
AWAIT_RUN: Final = _built_in("holdfast.await_run", _await_run, is_passive=True)
