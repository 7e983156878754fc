"""What a step body can reach while it runs: who it is, its heartbeat, the attributes of its run.

Implements ``holdfast.context.StepContext``. ``heartbeat`` is called from the body's own thread, so it only assigns;
what touches the event loop goes through ``call_soon_threadsafe``.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from functools import cached_property
from typing import Any

from holdfast.context import RunInfo, RunsPort, StepInfo, StreamPort
from holdfast.errors import SerializationError
from holdfast.serialization import decode_value, encode_value
from holdfast.v1 import event_pb2, payload_pb2
from runtime_service.steps.attempt import Attempt
from runtime_service.steps.attributes import AttributesInWork
from runtime_service.steps.deadlines import Deadlines
from runtime_service.steps.limits import HEARTBEAT_BYTES_MAX
from runtime_service.steps.streams import AttemptStreams

#: Sends a written response: reply queue, request id, until when (epoch ms), response → whether somebody waited.
Respond = Callable[[str, str, int, str], Coroutine[Any, Any, bool]]


class AttemptContext:
    """The ``StepContext`` of one attempt. ``details`` is what its last heartbeat carried, encoded.

    Created on the event loop; ``set_attributes_event`` is called there with each attributes_set event.
    """

    def __init__(
        self,
        attempt: Attempt,
        deadlines: Deadlines,
        set_attributes_event: Callable[[event_pb2.Event], None],
        streams: AttemptStreams,
        respond: Respond | None,
        runs: RunsPort | None,
    ) -> None:
        self._attempt = attempt
        self._run = attempt.run
        self._attributes = attempt.attributes or AttributesInWork(lambda: attempt.run.attributes)
        self.details: payload_pb2.Payload | None = attempt.heartbeat_details
        self.is_cancelled = False
        self._deadlines = deadlines
        self._set_attributes_event: Callable[[event_pb2.Event], None] | None = set_attributes_event
        self.streams = streams
        self._respond = respond
        self._runs = runs
        self._loop = asyncio.get_running_loop()
        self.last_heartbeat: Any = decode_value(Any, attempt.heartbeat_details) if attempt.heartbeat_details else None

    @property
    def run(self) -> RunInfo:
        """The run, with the attributes that it has now as far as this process knows."""
        return replace(self._run, attributes=self._attributes.present)

    @cached_property
    def info(self) -> StepInfo:
        """The attempt as its body sees it."""
        return _step_info(self._attempt)

    def open_stream(self, run_id: str, name: str, content_type: str) -> StreamPort:
        """Return the writing end of a stream, the same for every handle on it."""
        return self.streams.open(run_id, name, content_type)

    @property
    def runs(self) -> RunsPort:
        """The runs of the store, for the built-in steps."""
        assert self._runs is not None, "a runner without runs got a step that needs them"
        return self._runs

    def heartbeat(self, details: Any = None) -> None:
        """Report life, and details for the next attempt; None keeps the details reported before."""
        if details is not None:
            self.details = _encoded_details(self.info, details)
        self._deadlines.hear()

    async def set_attributes(self, changes: Mapping[str, str | None]) -> None:
        """Hand the change to the run's next write. It is recorded before, or together with, the step's result.

        Raises LimitExceeded when the run would have too many, with what its other steps in this process just set.
        """
        self._attributes.change(self.info.step_id, changes)
        event = event_pb2.Event()
        event.attributes_set.set.update({key: value for key, value in changes.items() if value is not None})
        event.attributes_set.removed.extend(key for key, value in changes.items() if value is None)
        if asyncio.get_running_loop() is self._loop:
            self._tell(event)
        else:
            self._loop.call_soon_threadsafe(self._tell, event)

    async def respond(self, queue: str, request_id: str, until_ms: int, response: str) -> bool:
        """Send a response to the runtime that holds the request open; False when it does no longer."""
        assert self._respond is not None, "a runner without a way to respond got a step that needs it"
        call = self._respond(queue, request_id, until_ms, response)
        if asyncio.get_running_loop() is self._loop:
            return await call
        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(call, self._loop))

    def close(self) -> None:
        """The attempt is over: nobody is told anything more, and the context and its attempt let go of each other.

        Without this each attempt would be a ring of a dozen objects that only the collector can free.
        """
        self.streams.stop()
        self._set_attributes_event = None

    def _tell(self, event: event_pb2.Event) -> None:
        if not self.is_cancelled and self._set_attributes_event is not None:
            self._set_attributes_event(event)


def _step_info(attempt: Attempt) -> StepInfo:
    return StepInfo(
        run_id=attempt.run.run_id,
        step_id=attempt.step_id,
        step_name=attempt.definition.name,
        attempt=attempt.attempt,
        started_at=datetime.fromtimestamp(attempt.first_started_ms / 1000, UTC),
        idempotency_key=f"{attempt.run.run_id}:{attempt.step_id}",
    )


def _encoded_details(info: StepInfo, details: Any) -> payload_pb2.Payload:
    payload = encode_value(Any, details)
    size = payload.ByteSize()
    if size > HEARTBEAT_BYTES_MAX:
        raise SerializationError(
            f"heartbeat details of step {info.step_name} take {size} bytes, at most {HEARTBEAT_BYTES_MAX} are allowed: "
            "report a position and keep the rest elsewhere"
        )
    return payload
