"""Steps that the workflow called: from the call to the result, as the log tells it.

Owns the open steps and the futures that wait for them. Whether and where an attempt runs is not decided here
(``worker/turn.py``); what the code asked for and what is recorded is compared by ``divergence.py``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType

from holdfast.context import StepCall
from holdfast.errors import StepFailed
from holdfast.failures import from_failure
from holdfast.v1 import entity_pb2, event_pb2, payload_pb2
from runtime_service.replay.clock import event_time_ms, stamp_ms
from runtime_service.replay.commands import Commands
from runtime_service.replay.divergence import check_step, not_called, unknown_entity
from runtime_service.replay.limits import REASON_CHARS_MAX
from runtime_service.replay.loop import ReplayLoop
from runtime_service.replay.open_entities import OpenStep
from runtime_service.replay.order import ReplayFuture
from runtime_service.replay.step_creation import step_created


class Steps:
    """The open steps of one run."""

    def __init__(self, commands: Commands, loop: ReplayLoop) -> None:
        self._commands = commands
        self._loop = loop
        self._open: dict[str, OpenStep] = {}
        self._results: dict[str, ReplayFuture] = {}

    @property
    def open(self) -> Mapping[str, OpenStep]:
        return MappingProxyType(self._open)

    def call(self, call: StepCall) -> ReplayFuture:
        """Schedule a step; the future gets its encoded output, or StepFailed."""
        step_id = self._loop.scope().step_id(call.definition.name)
        command = self._commands.emit(step_id, step_created(step_id, call), call.source)
        self._open[step_id] = OpenStep(step_id, call.definition, call.input, queue=call.definition.queue)
        result = self._results[step_id] = self._loop.create_future()

        def call_off(reason: object) -> None:
            command.is_wanted = False
            words = "" if reason is None else str(reason)[:REASON_CHARS_MAX]
            self._change(step_id, is_wanted=False, cancel_reason=words)

        result.on_cancel = call_off
        return result

    def close(self) -> None:
        """The run has ended: no step is wanted any more."""
        for step_id in self._open:
            self._change(step_id, is_wanted=False)

    # What the log says.

    def created(self, event: event_pb2.Event) -> None:
        command = self._commands.confirm(event.correlation_id)
        if command is None:
            raise not_called(event, self._commands)
        check_step(event, command)
        self._change(event.correlation_id, is_recorded=True, queue=event.step_created.queue)

    def started(self, event: event_pb2.Event) -> None:
        step = self._step(event)
        self._change(
            step.step_id,
            attempt=event.step_started.attempt,
            status=entity_pb2.STEP_STATUS_RUNNING,
            retry_time_ms=None,
            first_started_ms=step.first_started_ms or event_time_ms(event),
        )

    def retrying(self, event: event_pb2.Event) -> None:
        told = event.step_retrying
        self._change(
            self._step(event).step_id,
            status=entity_pb2.STEP_STATUS_PENDING,
            retry_time_ms=stamp_ms(told.retry_time),
            last_failure=told.failure,
            heartbeat_details=told.heartbeat_details if told.HasField("heartbeat_details") else None,
        )

    def completed(self, event: event_pb2.Event) -> None:
        _, result = self._close(event)
        if not result.done():
            result.set_result(event.step_completed.output)

    def failed(self, event: event_pb2.Event) -> None:
        step, result = self._close(event)
        if not result.done():
            result.set_exception(_step_failed(step, event.step_failed))

    def _step(self, event: event_pb2.Event) -> OpenStep:
        step = self._open.get(event.correlation_id)
        if step is None:
            raise unknown_entity(event)
        return step

    def _close(self, event: event_pb2.Event) -> tuple[OpenStep, ReplayFuture]:
        step = self._step(event)
        del self._open[step.step_id]
        return step, self._results.pop(step.step_id)

    def _change(self, step_id: str, **changes: object) -> None:
        if step_id in self._open:
            self._open[step_id] = replace(self._open[step_id], **changes)  # type: ignore[arg-type]


def _step_failed(step: OpenStep, told: event_pb2.StepFailed) -> StepFailed:
    failure: payload_pb2.Failure = told.failure
    error = StepFailed(step.definition.name, step.step_id, told.attempt or step.attempt, failure.message)
    error.failure = failure
    error.__cause__ = from_failure(failure)
    return error
