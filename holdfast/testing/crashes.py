"""Crash everywhere: a run is repeated once per moment at which its process can die, and must end the same.

Owns the moments (right before and right after every write of the runtime) and the comparison. Each repetition has a
world of its own that begins at the time of the first run and gets the same inputs from outside at the same times; the
process dies once, another takes over, and no time passes meanwhile. A start that such a crash loses is no attempt.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, Final

from holdfast.errors import HoldfastError
from holdfast.requests import new_request_id
from holdfast.testing.client import InProcessConnection, RunStuck
from holdfast.testing.services import Interrupt, World
from holdfast.v1 import entity_pb2, event_pb2, payload_pb2, runtime_service_pb2

#: The writes of a runtime; around each of them a crash can leave something half done.
_WRITES: Final = frozenset(("CreateEvents", "AckMessages", "NackMessages", "Enqueue"))

MakeWorld = Callable[[int, Interrupt], World]


class CrashMismatch(AssertionError):
    """A run that crashed once ended otherwise than the run that did not. ``where`` says where the crash was."""

    def __init__(self, run_id: str, where: str, expected: str, found: str) -> None:
        super().__init__(f"run {run_id}, crashed {where}, ended otherwise: expected {expected}, found {found}")
        self.run_id = run_id
        self.where = where


class Crash:
    """One crash, at a moment given by its number from 0. ``where`` says where it came, "" while it has not."""

    def __init__(self, number: int) -> None:
        self._left = number
        self.where = ""

    def __call__(self, method: str, request: Any, moment: str) -> bool:
        name = method.rpartition("/")[2]
        if self.where or name not in _WRITES:
            return False
        self._left -= 1
        if self._left >= 0:
            return False
        self.where = f"{moment} {_described(name, request)}"
        return True


async def crash_everywhere(make_world: MakeWorld, expected: entity_pb2.Run, log: Sequence[event_pb2.Event]) -> int:
    """Repeat the run of a log with one crash each and return how many crashes there were. Raises CrashMismatch."""
    number = 0
    while True:
        crash = Crash(number)
        found = await _repeated(make_world, crash, log)
        if not crash.where:
            return number
        if _ending(found) != _ending(expected):
            raise CrashMismatch(expected.run_id, crash.where, _words(expected), _words(found))
        number += 1


async def _repeated(make_world: MakeWorld, crash: Crash, log: Sequence[event_pb2.Event]) -> entity_pb2.Run | str:
    """Run it again; returns the ended run, or why it did not end."""
    world = make_world(log[0].create_time.ToMilliseconds(), crash)
    await world.open()
    connection = InProcessConnection(world)
    inputs = None
    try:
        await world.adopt(log[0])
        inputs = asyncio.create_task(_give_inputs(world, connection, log), name="holdfast-inputs")
        run = await connection.ended(log[0].run_id, None)
        assert run is not None
        return run
    except RunStuck as stuck:
        return stuck.reason
    finally:
        if inputs is not None:
            inputs.cancel()
            await asyncio.gather(inputs, return_exceptions=True)
        await world.close()


async def _give_inputs(world: World, connection: InProcessConnection, log: Sequence[event_pb2.Event]) -> None:
    """Tell the run what others told the first one, each at its time and once everything before it has been done."""
    told: set[tuple[str, int]] = set()
    for event in log:
        kind = event.WhichOneof("attributes") or ""
        if event.origin != event_pb2.EVENT_ORIGIN_EXTERNAL or kind not in _INPUTS:
            continue
        at_ms = event.create_time.ToMilliseconds()
        if kind == "wait_completed" and (kind, at_ms) in told:
            continue
        told.add((kind, at_ms))
        await world.keeper.sleep_until(at_ms)
        method, build = _INPUTS[kind]
        try:
            await connection.call(method, build(event))
        except HoldfastError:
            # Nobody takes it any more. When that matters, the run ends otherwise or not at all.
            continue


def _resume(event: event_pb2.Event) -> Any:
    return runtime_service_pb2.ResumeHookRequest(
        run_id=event.run_id,
        hook_id=event.correlation_id,
        payload=event.hook_received.payload,
        request_id=new_request_id(),
    )


def _cancel(event: event_pb2.Event) -> Any:
    return runtime_service_pb2.CancelRunRequest(run_id=event.run_id, reason=event.run_cancel_requested.reason)


def _force(event: event_pb2.Event) -> Any:
    return runtime_service_pb2.CancelRunRequest(run_id=event.run_id, reason=event.run_cancelled.reason, force=True)


def _wake(event: event_pb2.Event) -> Any:
    return runtime_service_pb2.WakeRunRequest(run_id=event.run_id, skip_waits=True)


#: Facts that come from outside → the call that makes them.
_INPUTS: Final[dict[str, tuple[str, Callable[[event_pb2.Event], Any]]]] = {
    "hook_received": ("ResumeHook", _resume),
    "run_cancel_requested": ("CancelRun", _cancel),
    "run_cancelled": ("CancelRun", _force),
    "wait_completed": ("WakeRun", _wake),
}


def _ending(run: entity_pb2.Run | str) -> object:
    """Return what two endings are compared by: of a failure its types and its first cause, not its attempts."""
    if isinstance(run, str):
        return run
    if run.status == entity_pb2.RUN_STATUS_FAILED:
        chain = list(_causes(run.failure))
        return run.status, [it.type for it in chain], chain[-1].message
    # How an answer shows a payload depends on the way it came; what is in it does not.
    return run.status, run.output.content_type, run.output.text, run.output.data


def _causes(failure: payload_pb2.Failure) -> Any:
    yield failure
    while failure.HasField("cause"):
        failure = failure.cause
        yield failure


def _words(run: entity_pb2.Run | str) -> str:
    if isinstance(run, str):
        return f"a run that does not end: {run}"
    if run.status == entity_pb2.RUN_STATUS_FAILED:
        return f"failure {run.failure.type}: {run.failure.message}"
    if run.status == entity_pb2.RUN_STATUS_CANCELLED:
        return "a cancelled run"
    return f"result {run.output.text or run.output.data!r}"


def _described(name: str, request: Any) -> str:
    if name != "CreateEvents":
        return name
    kinds = [f"{event.WhichOneof('attributes')} {event.correlation_id}".strip() for event in request.events]
    return f"writing [{', '.join(kinds)}]"
