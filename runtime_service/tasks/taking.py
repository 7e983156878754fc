"""Taking a task: from a message in the queue of a step to an attempt whose start is recorded.

The message's lease is what the attempt stands on. The interleavings that matter, and what stops each:

* Two takers of one step (a task that was sent twice): (1) both read attempt 1 as pending; (2) A writes step_started 1;
  (3) B writes step_started 1 and is refused, for 2 is next; (4) B reads again, finds 1 running as A's task, not its
  own, and drops its message.
* A worker that was lost: (1) A holds the task and is silent; (2) its lease ends, the store hands the same message to B;
  (3) B finds attempt 1 running *as this very task*: its holder is lost, for B holds the lease now; (4) B records what
  became of it and goes on, or begins attempt 2; (5) A completes attempt 1 and is refused: 2 is running.
* A runtime that dies between the lease and the start has changed nothing; after the start it has an attempt without a
  worker, which ends as any lost one.

Proof: tests/step_workers/test_lost_workers.py. What is done with a task afterwards is ``reporting.py``.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass

import structlog

from holdfast.errors import (
    EntityNotFound,
    HoldfastError,
    IllegalTransition,
    LeaseLost,
    RetryTooEarly,
    RunNotFound,
    RunTerminal,
)
from holdfast.v1 import entity_pb2, event_pb2, payload_pb2, queue_service_pb2, store_service_pb2
from runtime_service.store import Call, Store, milliseconds
from runtime_service.tasks import policy
from runtime_service.tasks.limits import LOOK_AFTER_MS, TAKE_LEASE_MS, TRIES_MAX, TRY_AGAIN_MS
from runtime_service.tasks.messages import TaskAddress, Unreadable, read_task, task_message, watch_message
from runtime_service.tasks.records import Records
from runtime_service.tasks.reporting import Reporting
from runtime_service.tasks.token import TaskToken

log = structlog.get_logger(__name__)

_OPEN = (entity_pb2.STEP_STATUS_PENDING, entity_pb2.STEP_STATUS_RUNNING)


@dataclass(frozen=True, slots=True)
class Taken:
    """An attempt that has begun. ``step`` is as before its start; ``begin_ms`` is when that was (epoch ms)."""

    token: TaskToken
    step: entity_pb2.Step
    begin_ms: int
    last_heartbeat: payload_pb2.Payload | None


class Taking:
    """Takes tasks for whoever runs them. ``own_lease_ms``: the lease's length for one who renews it all the time."""

    def __init__(
        self,
        store: Store,
        now_ms: Callable[[], int],
        rng: random.Random,
        reporting: Reporting,
        own_lease_ms: int | None = None,
    ) -> None:
        self._store = store
        self._now_ms = now_ms
        self._rng = rng
        self._reporting = reporting
        self._own_lease_ms = own_lease_ms
        self._records = Records(store)
        self._giving_back: set[asyncio.Task[None]] = set()

    async def take(self, queues: Sequence[str], worker_id: str, wait_ms: int) -> Taken | None:
        """Take one task of these queues and begin its attempt; None when the wait was over first.

        Cancelled, it gives back what it has begun. Raises what the store answers.
        """
        loop = asyncio.get_running_loop()
        until = loop.time() + wait_ms / 1000
        while True:
            # The first queue that has a message wins: in another order each time none is starved.
            messages = await self._store.receive(
                queues=self._rng.sample(queues, len(queues)),
                messages_max=1,
                wait_ms=max(0, round((until - loop.time()) * 1000)),
                lease_ms=TAKE_LEASE_MS,
                consumer_id=worker_id,
            )
            if not messages:
                return None
            beginning = asyncio.ensure_future(self._take_up(messages[0], worker_id))
            try:
                taken = await asyncio.shield(beginning)
            except asyncio.CancelledError:
                self._give_back_later(beginning)
                raise
            if taken is not None:
                return taken

    async def release_untold(self, taken: Taken) -> None:
        """Give an attempt back whose worker never heard of it."""
        try:
            await self._reporting.release(taken.token, "its worker went away before it was told")
        except HoldfastError as error:
            log.info("task left to its lease", step_id=taken.token.step_id, why=str(error))

    def _give_back_later(self, beginning: asyncio.Future[Taken | None]) -> None:
        async def give_back() -> None:
            taken = await beginning
            if taken is not None:
                await self.release_untold(taken)

        task = asyncio.create_task(give_back(), name="task-given-back")
        self._giving_back.add(task)
        task.add_done_callback(self._giving_back.discard)

    async def _take_up(self, leased: queue_service_pb2.LeasedMessage, worker_id: str) -> Taken | None:
        try:
            address = read_task(leased.message)
        except Unreadable as error:
            await self._bury(leased.receipt, f"not a task: {error}")
            return None
        for _ in range(TRIES_MAX):
            try:
                return await self._try(leased, address, worker_id)
            except (IllegalTransition, RetryTooEarly):
                # Somebody wrote to the step between our look and our write: look again.
                continue
            except (RunTerminal, RunNotFound, EntityNotFound):
                await self._store.acknowledge(leased.receipt)
                return None
            except LeaseLost:
                return None
        await self._store.give_back(leased.receipt, delay_ms=TRY_AGAIN_MS)
        return None

    async def _try(self, leased: queue_service_pb2.LeasedMessage, address: TaskAddress, worker_id: str) -> Taken | None:
        step = await self._records.step(address.run_id, address.step_id)
        if step is None or step.status not in _OPEN:
            await self._store.acknowledge(leased.receipt)
            return None
        if step.status == entity_pb2.STEP_STATUS_RUNNING:
            if step.task_id != leased.message.message_id:
                await self._store.acknowledge(leased.receipt)
                return None
            if await self._ended_by_loss(leased, address, step):
                return None
        now_ms = self._now_ms()
        if (early_ms := step.retry_time.ToMilliseconds() - now_ms) > 0:
            await self._store.give_back(leased.receipt, delay_ms=early_ms)
            return None
        total_ms = policy.total_end_ms(step, now_ms)
        if total_ms is not None and total_ms <= now_ms:
            await self._end_without_time(leased.receipt, step, worker_id, now_ms)
            return None
        return await self._begin(leased, address, step, worker_id, now_ms)

    async def _ended_by_loss(
        self, leased: queue_service_pb2.LeasedMessage, address: TaskAddress, step: entity_pb2.Step
    ) -> bool:
        """Record what the attempt failed with that ran under this task before; False when the next simply follows."""
        now_ms, spared = self._now_ms(), await self._records.spared(step)
        failure = policy.loss(step, now_ms, spared=spared)
        if failure is None:
            return False
        details = leased.message.progress if leased.message.HasField("progress") else None
        event = policy.failed(step, failure, now_ms=now_ms, rng=self._rng, spared=spared, details=details)
        create = store_service_pb2.CreateEventRequest(
            run_id=step.run_id, event=event, ack_receipts=[leased.receipt], request_id=f"lost {leased.receipt}"
        )
        if event.HasField("step_retrying"):
            create.messages.append(task_message(address, due_ms=event.step_retrying.retry_time.ToMilliseconds()))
        await self._reporting.create(create)
        return True

    async def _end_without_time(self, receipt: str, step: entity_pb2.Step, worker_id: str, now_ms: int) -> None:
        """The bound on all attempts is over before this one began: a start and its failure, as for a local one."""
        started = _started(step, worker_id, "", now_ms)
        failed = event_pb2.Event(correlation_id=step.step_id)
        failed.step_failed.failure.CopyFrom(policy.timeout_of_all())
        failed.occur_time.CopyFrom(started.occur_time)
        request = store_service_pb2.CreateEventsRequest(
            run_id=step.run_id, events=[started, failed], ack_receipts=[receipt], request_id=f"late {receipt}"
        )
        await self._store.append(request)

    async def _begin(
        self,
        leased: queue_service_pb2.LeasedMessage,
        address: TaskAddress,
        step: entity_pb2.Step,
        worker_id: str,
        now_ms: int,
    ) -> Taken | None:
        bounds = policy.bounds(step, now_ms)
        token = TaskToken(
            receipt=leased.receipt,
            attempt=step.attempt + 1,
            silence_ms=bounds.silence_ms,
            deadline_ms=bounds.deadline_ms,
            **asdict(address),
        )
        lease_ms = self._own_lease_ms or token.lease_ms(now_ms)
        create = store_service_pb2.CreateEventRequest(
            run_id=step.run_id,
            event=_started(step, worker_id, token.task_id, now_ms),
            held_receipts=[leased.receipt],
            request_id=f"start {leased.receipt} {token.attempt}",
            messages=[watch_message(token.watched, now_ms + lease_ms + LOOK_AFTER_MS)],
        )
        # The lease first: whoever is told of an attempt must hold it for as long as it may be silent.
        if not await self._extend(leased.receipt, lease_ms):
            return None
        await self._store.create(create)
        return Taken(token, step, now_ms, await self._last_heartbeat(leased, step))

    async def _extend(self, receipt: str, lease_ms: int) -> bool:
        request = queue_service_pb2.ExtendLeasesRequest(receipts=[receipt], lease_duration=milliseconds(lease_ms))
        extend: Call[queue_service_pb2.ExtendLeasesResponse] = self._store.queue.ExtendLeases
        return (await self._store.call(extend, request)).results[0].ok

    async def _last_heartbeat(
        self, leased: queue_service_pb2.LeasedMessage, step: entity_pb2.Step
    ) -> payload_pb2.Payload | None:
        if leased.message.HasField("progress"):
            return leased.message.progress
        return await self._records.details(step) if step.attempt else None

    async def _bury(self, receipt: str, reason: str) -> None:
        request = queue_service_pb2.NackMessagesRequest(
            receipts=[receipt], reason=reason, action=queue_service_pb2.NACK_ACTION_DEAD_LETTER
        )
        await self._store.call(self._store.queue.NackMessages, request)


def _started(step: entity_pb2.Step, worker_id: str, task_id: str, now_ms: int) -> event_pb2.Event:
    event = event_pb2.Event(correlation_id=step.step_id, writer=worker_id)
    event.step_started.attempt = step.attempt + 1
    event.step_started.worker_id = worker_id
    event.step_started.task_id = task_id
    event.occur_time.FromMilliseconds(now_ms)
    return event
