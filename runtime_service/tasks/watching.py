"""Looks after attempts that are out: so that a timeout comes when no worker is left to notice it.

Each start of an attempt sent a watch, due when the attempt's lease would end without a heartbeat. Any runtime takes it:

* the attempt is over: the watch is done;
* its lease lives: look again when that ends, or the deadline has passed;
* its lease is lost: a worker that waits takes the task over itself, at once (``taking.py``). When the policy has
  something to say (a timeout, the last attempt) and nobody has said it, it is said here.

Both may say it at the same moment: one of the two is refused, for the attempt is then no longer running. A look
changes nothing that it has not read in the store, so it may come late, twice, or from a runtime that was restarted.
Proof: tests/step_workers/test_timeouts_of_tasks.py.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import Callable
from typing import Final

import structlog

from holdfast.errors import EntityNotFound, HoldfastError, IllegalTransition, LeaseLost, RunNotFound, RunTerminal
from holdfast.v1 import entity_pb2, payload_pb2, queue_service_pb2, store_service_pb2
from runtime_service.names import STEP_WATCH_QUEUE
from runtime_service.store import Store
from runtime_service.tasks import policy
from runtime_service.tasks.limits import LOOK_AFTER_MS, OVERTIME_MS, TAKE_LEASE_MS
from runtime_service.tasks.messages import Unreadable, Watched, read_watch, task_message
from runtime_service.tasks.records import Records
from runtime_service.tasks.reporting import Reporting

log = structlog.get_logger(__name__)

#: Length of one long poll, watches taken at once, and the pause after a failed poll.
_POLL_MS: Final = 30_000
_TAKEN_MAX: Final = 50
_PAUSE_SECONDS: Final = 0.2

_OVER: Final = (IllegalTransition, RunTerminal, RunNotFound, EntityNotFound, LeaseLost)


class Watching:
    """The looks of one runtime. ``run()`` goes on until it is cancelled."""

    def __init__(
        self, store: Store, now_ms: Callable[[], int], rng: random.Random, reporting: Reporting, consumer_id: str
    ) -> None:
        self._store = store
        self._now_ms = now_ms
        self._rng = rng
        self._reporting = reporting
        self._consumer_id = consumer_id
        self._records = Records(store)

    async def run(self) -> None:
        """Take watches and look, for ever."""
        while True:
            try:
                messages = await self._store.receive(
                    queues=[STEP_WATCH_QUEUE],
                    messages_max=_TAKEN_MAX,
                    wait_ms=_POLL_MS,
                    lease_ms=TAKE_LEASE_MS,
                    consumer_id=self._consumer_id,
                )
                await asyncio.gather(*map(self._look, messages))
            except HoldfastError as error:
                log.info("no looks at steps for now", error=str(error))
                await asyncio.sleep(_PAUSE_SECONDS)

    async def _look(self, leased: queue_service_pb2.LeasedMessage) -> None:
        try:
            watched = read_watch(leased.message)
        except Unreadable as error:
            log.warning("a watch that cannot be read was dropped", why=str(error))
            await self._store.acknowledge(leased.receipt)
            return
        address = watched.address
        step = await self._records.step(address.run_id, address.step_id)
        is_out = step is not None and step.status == entity_pb2.STEP_STATUS_RUNNING and step.attempt == watched.attempt
        again_ms = await self._look_at(leased.receipt, watched, step) if step is not None and is_out else None
        if again_ms is not None:
            await self._store.give_back(leased.receipt, delay_ms=again_ms)
        else:
            await self._store.acknowledge(leased.receipt)

    async def _look_at(self, receipt: str, watched: Watched, step: entity_pb2.Step) -> int | None:
        """Look at an attempt under way; returns the milliseconds until the next look, None when none is needed."""
        task = await self._records.task(watched)
        now_ms = self._now_ms()
        deadline_ms = policy.bounds(step, step.update_time.ToMilliseconds()).deadline_ms
        patience_ms = deadline_ms + OVERTIME_MS if deadline_ms else now_ms + 1
        lease_end_ms = _lease_end_ms(task)
        if lease_end_ms > now_ms and patience_ms > now_ms:
            ends = [lease_end_ms, *([patience_ms] if deadline_ms else [])]
            return min(ends) - now_ms + LOOK_AFTER_MS
        spared = await self._records.spared(step)
        failure = policy.loss(step, now_ms, spared=spared)
        if failure is not None:
            await self._record(receipt, watched, step, failure, task, spared)
        return None

    async def _record(
        self,
        receipt: str,
        watched: Watched,
        step: entity_pb2.Step,
        failure: payload_pb2.Failure,
        task: queue_service_pb2.QueueMessage | None,
        spared: int,
    ) -> None:
        details = task.progress if task is not None and task.HasField("progress") else None
        event = policy.failed(step, failure, now_ms=self._now_ms(), rng=self._rng, spared=spared, details=details)
        create = store_service_pb2.CreateEventRequest(run_id=step.run_id, event=event, ack_receipts=[receipt])
        if event.HasField("step_retrying"):
            # The task of the lost attempt may still come to somebody: whoever begins the next attempt first has it.
            create.messages.append(
                task_message(watched.address, due_ms=event.step_retrying.retry_time.ToMilliseconds())
            )
        with contextlib.suppress(*_OVER):
            await self._reporting.create(create)


def _lease_end_ms(task: queue_service_pb2.QueueMessage | None) -> int:
    if task is None or task.state != queue_service_pb2.QUEUE_MESSAGE_STATE_LEASED:
        return 0
    return task.lease_expire_time.ToMilliseconds()
