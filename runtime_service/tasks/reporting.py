"""What becomes of an attempt that is out: it goes on, ends, fails, or is given back.

Every end is one transaction: the fact, the settled lease, and the task of the next attempt when there is one. The
store refuses it when the lease was lost or another attempt runs, and the worker then hears LEASE_LOST, whatever the
reason was: for it there is one thing to do, to stop. A repeat is known by its request id, which is the receipt's.
Must keep nothing between two calls: the next one may come to another runtime.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from holdfast.errors import (
    EntityNotFound,
    IllegalTransition,
    LeaseLost,
    RequestIdReused,
    RunNotFound,
    RunTerminal,
)
from holdfast.v1 import entity_pb2, event_pb2, payload_pb2, queue_service_pb2, store_service_pb2
from runtime_service.replay.divergence import is_same_payload
from runtime_service.store import Call, Store, milliseconds
from runtime_service.tasks import policy
from runtime_service.tasks.limits import RECONNECT_MS
from runtime_service.tasks.messages import task_message
from runtime_service.tasks.records import Records
from runtime_service.tasks.token import TaskToken
from runtime_service.worker.batch import committed

_ENDED_OTHERWISE: Final = "it has ended, or was never taken as this task"

#: What the store says to an attempt that nobody waits for any more.
_OVER = (IllegalTransition, RunTerminal, RunNotFound, EntityNotFound)


@dataclass(frozen=True, slots=True)
class Sign:
    """The answer to a heartbeat. ``next_ms`` is when the lease ends without another one (epoch ms)."""

    is_unwanted: bool
    next_ms: int


class Reporting:
    """Speaks for attempts to the store. ``tell`` gets each event that was written, ahead of the store's push of it."""

    def __init__(
        self, store: Store, now_ms: Callable[[], int], rng: random.Random, tell: Callable[[event_pb2.Event], None]
    ) -> None:
        self._store = store
        self._now_ms = now_ms
        self._rng = rng
        self._tell = tell
        self.records = Records(store)

    async def heartbeat(self, token: TaskToken, details: payload_pb2.Payload | None) -> Sign:
        """Prolong the lease, keep ``details`` for the next attempt, and find out whether this one is still wanted.

        Raises LeaseLost.
        """
        sign = await self._prolong(token, token.lease_ms(self._now_ms()), details)
        step = await self.records.step(token.run_id, token.step_id)
        return Sign(is_unwanted=not _is_running(step, token), next_ms=sign)

    async def hasten_loss(self, token: TaskToken) -> None:
        """Shorten the lease of a worker that may be gone. Raises LeaseLost."""
        await self._prolong(token, min(RECONNECT_MS, token.lease_ms(self._now_ms())), None)

    async def complete(self, token: TaskToken, output: payload_pb2.Payload) -> None:
        """Record the result. Raises LeaseLost, and what the store says to a bad value."""
        if not _is_running(await self.records.step(token.run_id, token.step_id), token):
            return await self._completed_before(token, output)
        event = event_pb2.Event(correlation_id=token.step_id)
        event.step_completed.attempt = token.attempt
        event.step_completed.output.CopyFrom(output)
        event.occur_time.FromMilliseconds(self._now_ms())
        try:
            await self.end(token, event)
        except RequestIdReused:
            raise _lost(token, _ENDED_OTHERWISE) from None
        return None

    async def fail(
        self, token: TaskToken, failure: payload_pb2.Failure, delay_ms: int | None
    ) -> event_pb2.StepRetrying | None:
        """Record the failure of the attempt; returns when it is tried again, None when it is not. Raises LeaseLost."""
        step = await self.records.step(token.run_id, token.step_id)
        if step is None or not _is_running(step, token):
            return await self._told_before(token, failure)
        task = await self.records.task(token.watched)
        event = policy.failed(
            step,
            failure,
            now_ms=self._now_ms(),
            rng=self._rng,
            spared=await self.records.spared(step),
            delay_ms=delay_ms,
            details=task.progress if task is not None and task.HasField("progress") else None,
        )
        try:
            await self.end(token, event)
        except (RequestIdReused, LeaseLost):
            return await self._told_before(token, failure)
        return event.step_retrying if event.HasField("step_retrying") else None

    async def release(self, token: TaskToken, reason: str) -> None:
        """Give the step back for another one to take at once. Raises LeaseLost."""
        step = await self.records.step(token.run_id, token.step_id)
        if step is None or not _is_running(step, token):
            await self._told_before(token, policy.released(reason))
            return
        task = await self.records.task(token.watched)
        now_ms = self._now_ms()
        details = task.progress if task is not None and task.HasField("progress") else None
        event = policy.retrying(step, policy.released(reason), now_ms=now_ms, retry_ms=now_ms, details=details)
        try:
            await self.end(token, event)
        except RequestIdReused:
            await self._told_before(token, policy.released(reason))

    async def end(self, token: TaskToken, event: event_pb2.Event) -> None:
        """Write the event that ends the attempt. Raises LeaseLost, RequestIdReused, and what is wrong with a value."""
        create = store_service_pb2.CreateEventRequest(
            run_id=token.run_id, event=event, ack_receipts=[token.receipt], request_id=_request_id(token)
        )
        if event.HasField("step_retrying"):
            due_ms = event.step_retrying.retry_time.ToMilliseconds()
            create.messages.append(task_message(token.address, due_ms=due_ms))
        try:
            await self.create(create)
        except _OVER as over:
            raise _lost(token, str(over)) from over

    async def say(self, token: TaskToken, event: event_pb2.Event) -> None:
        """Write a fact of the attempt that does not end it. Raises LeaseLost."""
        create = store_service_pb2.CreateEventRequest(run_id=token.run_id, event=event, held_receipts=[token.receipt])
        try:
            await self.create(create)
        except _OVER as over:
            raise _lost(token, str(over)) from over

    async def create(self, create: store_service_pb2.CreateEventRequest) -> None:
        """Append one event and tell of it. Raises what the store answers."""
        answer = await self._store.create(create)
        self._tell(committed(create.event, answer.event))

    async def _prolong(self, token: TaskToken, lease_ms: int, details: payload_pb2.Payload | None) -> int:
        request = queue_service_pb2.ExtendLeasesRequest(
            receipts=[token.receipt], lease_duration=milliseconds(lease_ms), progress=details
        )
        extend: Call[queue_service_pb2.ExtendLeasesResponse] = self._store.queue.ExtendLeases
        (result,) = (await self._store.call(extend, self._store.sealing.seal(request))).results
        if not result.ok:
            raise _lost(token, "its lease has ended")
        return result.expire_time.ToMilliseconds()

    async def _told_before(self, token: TaskToken, failure: payload_pb2.Failure) -> event_pb2.StepRetrying | None:
        """Answer a report that comes again as it was answered first. Raises LeaseLost when it never was."""
        opened = await self._event_before(token)
        for outcome in ("step_retrying", "step_failed"):
            if opened.HasField(outcome) and _is_same(getattr(opened, outcome).failure, failure):
                return opened.step_retrying if outcome == "step_retrying" else None
        raise _lost(token, _ENDED_OTHERWISE)

    async def _completed_before(self, token: TaskToken, output: payload_pb2.Payload) -> None:
        """Answer a result that comes again as it was answered first. Raises LeaseLost when it never was."""
        recorded = (await self._event_before(token)).step_completed
        if not recorded.attempt or not is_same_payload(recorded.output, self._store.sealing.open(output)):
            raise _lost(token, _ENDED_OTHERWISE)

    async def _event_before(self, token: TaskToken) -> event_pb2.Event:
        """Return what a report with this token wrote, an empty event when there was none."""
        told = await self.records.event_of_request(token.run_id, _request_id(token))
        if told is None or told.correlation_id != token.step_id:
            return event_pb2.Event()
        return self._store.sealing.open(told)


def _request_id(token: TaskToken) -> str:
    return f"end {token.receipt}"


def _is_running(step: entity_pb2.Step | None, token: TaskToken) -> bool:
    return (
        step is not None
        and step.status == entity_pb2.STEP_STATUS_RUNNING
        and (step.attempt, step.task_id) == (token.attempt, token.task_id)
    )


def _is_same(recorded: payload_pb2.Failure, told: payload_pb2.Failure) -> bool:
    return (recorded.type, recorded.message) == (told.type, told.message)


def _lost(token: TaskToken, why: str) -> LeaseLost:
    lost = LeaseLost(
        f"attempt {token.attempt} of step {token.step_id} in run {token.run_id} is no longer this worker's: {why}; "
        "stop it and drop its result",
        message_id=token.receipt.partition(".")[0],
    )
    lost.reason, lost.metadata = "LEASE_LOST", {"run_id": token.run_id, "step_id": token.step_id}
    return lost
