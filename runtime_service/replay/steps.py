"""Steps that the workflow called: from the call to the result, as the log tells it.

Owns the open steps and the futures that wait for them. Whether and where an attempt runs is not decided here
(``worker/turn.py``); what the code asked for and what is recorded is compared by ``divergence.py``.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

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
        #: Step id → step, a live view.
        self.open: Final[Mapping[str, OpenStep]] = MappingProxyType(self._open)
        self._results: dict[str, ReplayFuture] = {}

    def call(self, call: StepCall) -> ReplayFuture:
        """Schedule a step; the future gets its encoded output, or StepFailed."""
        step_id = self._loop.scope().step_id(call.definition.name)
        command = self._commands.emit(step_id, step_created(step_id, call), call.source)
        step = self._open[step_id] = OpenStep(step_id, call.definition, call.input, queue=call.definition.queue)
        result = self._results[step_id] = self._loop.create_future()

        def call_off(reason: object) -> None:
            command.is_wanted = step.is_wanted = False
            step.cancel_reason = "" if reason is None else str(reason)[:REASON_CHARS_MAX]

        result.on_cancel = call_off
        return result

    def close(self) -> None:
        """The run has ended: no step is wanted any more."""
        for step in self._open.values():
            step.is_wanted = False

    # What the log says.

    def created(self, event: event_pb2.Event) -> None:
        command = self._commands.confirm(event.correlation_id)
        if command is None:
            raise not_called(event, self._commands)
        check_step(event, command)
        if (step := self._open.get(event.correlation_id)) is not None:
            step.is_recorded = True
            step.queue = event.step_created.queue

    def started(self, event: event_pb2.Event) -> None:
        step = self._step(event)
        step.attempt = event.step_started.attempt
        step.status = entity_pb2.STEP_STATUS_RUNNING
        step.retry_time_ms = None
        step.first_started_ms = step.first_started_ms or event_time_ms(event)

    def retrying(self, event: event_pb2.Event) -> None:
        step, told = self._step(event), event.step_retrying
        step.status = entity_pb2.STEP_STATUS_PENDING
        step.retry_time_ms = stamp_ms(told.retry_time)
        step.last_failure = told.failure
        step.heartbeat_details = told.heartbeat_details if told.HasField("heartbeat_details") else None

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


def _step_failed(step: OpenStep, told: event_pb2.StepFailed) -> StepFailed:
    failure: payload_pb2.Failure = told.failure
    error = StepFailed(step.definition.name, step.step_id, told.attempt or step.attempt, failure.message)
    error.failure = failure
    error.__cause__ = from_failure(failure)
    return error
