"""The step worker inside a runtime: runs the tasks of the queues that ``--queue`` names, with the code it registered.

The same rules as for a worker in another program, with two differences: the lease is renewed by the runtime for as long
as it lives, because the runner itself watches the deadlines, and a drain gives back what did not end in time. A task
taken here counts as one of the attempts that run at once in this process.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC
from typing import Final

import structlog

from holdfast.context import RunInfo
from holdfast.definitions import StepDefinition
from holdfast.errors import HoldfastError
from holdfast.queues import EVERY_QUEUE
from holdfast.v1 import entity_pb2, event_pb2
from runtime_service.names import step_queue
from runtime_service.steps.runner import Attempt, Outcome, RunningAttempt
from runtime_service.store import is_passing
from runtime_service.tasks.ends import StepEnds
from runtime_service.tasks.reporting import Reporting
from runtime_service.tasks.taking import Taken, Taking
from runtime_service.tasks.token import TaskToken
from runtime_service.worker.cancelling import read_run
from runtime_service.worker.leases import LeaseKeeper
from runtime_service.worker.surroundings import Surroundings

log = structlog.get_logger(__name__)

#: Length of one long poll, and the pause after a failed one.
_POLL_MS: Final = 30_000
_PAUSE_SECONDS: Final = 0.2

#: Seconds to give tasks back when the process drains, however little time its attempts get.
_GIVE_BACK_SECONDS: Final = 5.0


class OwnTasks:
    """The tasks that this runtime runs. ``run()`` takes them until it is cancelled, then ``drain()``."""

    def __init__(self, around: Surroundings, ends: StepEnds, leases: LeaseKeeper, reporting: Reporting) -> None:
        self._around = around
        self._ends = ends
        self._leases = leases
        self._reporting = reporting
        self._taking = Taking(
            around.store, around.clock, random.Random(), reporting, own_lease_ms=around.options.lease_ms
        )
        self._running: set[asyncio.Task[None]] = set()
        self._is_drained = asyncio.Event()

    async def run(self) -> None:
        """Take tasks while there is a free slot, for ever."""
        options = self._around.options
        while True:
            await self._free_slot()
            queues = self._queues()
            try:
                # Asked anew each time: a reload may bring steps.
                taken = await self._taking.take(queues, options.runtime_id, _POLL_MS) if queues else None
            except HoldfastError as error:
                log.info("no tasks for now", error=str(error))
                await asyncio.sleep(_PAUSE_SECONDS)
                continue
            if taken is not None:
                self._begin(taken)
            elif not queues:
                await asyncio.sleep(1)

    async def drain(self, seconds: float) -> None:
        """Let what runs end within ``seconds``; what does not is given back for others to run."""
        if self._running:
            await asyncio.wait(self._running, timeout=seconds)
        self._is_drained.set()
        if self._running:
            await asyncio.wait(self._running, timeout=_GIVE_BACK_SECONDS)
        for task in list(self._running):
            task.cancel()

    def _queues(self) -> list[str]:
        return [step_queue(it.queue, it.name) for it in self._around.registry.steps.values() if self._serves(it)]

    def _serves(self, step: StepDefinition) -> bool:
        served = self._around.options.queues
        return step.goes_out and not step.is_remote and (step.queue in served or EVERY_QUEUE in served)

    async def _free_slot(self) -> None:
        while self._around.slots.are_taken:
            free = asyncio.Event()
            self._around.slots.tell_when_free(self, free.set)
            await free.wait()

    def _begin(self, taken: Taken) -> None:
        # It may be one too many: a slot that was free when we asked is kept free for nobody while we wait.
        self._around.slots.exceed()
        task = asyncio.create_task(self._run_one(taken), name=f"task:{taken.token.step_id}")
        self._running.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._running.discard(task)
        self._around.slots.give_back()

    async def _run_one(self, taken: Taken) -> None:
        token = taken.token
        changed = asyncio.Event()
        try:
            attempt = await self._attempt_of(taken)
        except HoldfastError as error:
            log.warning("task left to its lease", step_id=token.step_id, why=str(error))
            return
        with self._kept(token, changed) as ending:
            running = self._around.runner.start(attempt, ending.take)
            await self._follow(taken, running, ending, changed)

    async def _follow(self, taken: Taken, running: RunningAttempt, ending: _Reports, changed: asyncio.Event) -> None:
        """Write what the attempt reports until it has ended, is no longer wanted, is lost, or the process drains."""
        token = taken.token
        drained = asyncio.ensure_future(self._is_drained.wait())
        drained.add_done_callback(lambda _: changed.set())
        try:
            while True:
                await changed.wait()
                changed.clear()
                if await self._write(token, ending):
                    return
                if ending.is_lost or (ending.is_asked and not await self._is_wanted(token)):
                    return running.cancel("nobody waits for the step any more", record=False)
                if drained.done():
                    running.cancel("the runtime drains", record=False)
                    return await self._reporting.release(token, "its runtime drained")
                ending.is_asked = False
        except HoldfastError as error:
            running.cancel("its task is lost", record=False)
            log.info("task lost", run_id=token.run_id, step_id=token.step_id, why=str(error))
        finally:
            drained.cancel()

    async def _write(self, token: TaskToken, ending: _Reports) -> bool:
        """Write what was reported; True once the end of the attempt is. A store that is away is waited for."""
        while ending.events:
            event = ending.events[0]
            write = self._reporting.say if event.HasField("attributes_set") else self._reporting.end
            try:
                await write(token, event)
            except HoldfastError as error:
                if not is_passing(error) or ending.is_lost:
                    raise
                continue
            ending.events.pop(0)
            if not event.HasField("attributes_set"):
                return True
        return False

    async def _is_wanted(self, token: TaskToken) -> bool:
        step = await self._reporting.records.step(token.run_id, token.step_id)
        return step is not None and step.status == entity_pb2.STEP_STATUS_RUNNING and step.attempt == token.attempt

    @contextmanager
    def _kept(self, token: TaskToken, changed: asyncio.Event) -> Iterator[_Reports]:
        """Keep the lease, and follow the run, while the block lasts."""
        ending = _Reports(changed)
        self._leases.keep(token.receipt, ending.lose)
        try:
            with self._ends.follow(token.run_id, ending.ask):
                yield ending
        finally:
            self._leases.forget(token.receipt)

    async def _attempt_of(self, taken: Taken) -> Attempt:
        store, step = self._around.store, taken.step
        run = await read_run(store, step.run_id)
        first_ms = step.start_time.ToMilliseconds() if step.HasField("start_time") else taken.begin_ms
        details = taken.last_heartbeat
        return Attempt(
            step_id=step.step_id,
            definition=self._around.registry.step(step.step_name),
            input=store.sealing.open(step.input),
            attempt=taken.token.attempt,
            run=_run_info(run),
            first_started_ms=first_ms,
            heartbeat_details=None if details is None else store.sealing.open(details),
            trace_context=taken.token.address.trace_context,
        )


class _Reports:
    """What came in about one attempt, to be looked at in turn."""

    def __init__(self, changed: asyncio.Event) -> None:
        self.events: list[event_pb2.Event] = []
        self.is_lost = False
        self.is_asked = False
        self._changed = changed

    def take(self, outcome: Outcome) -> None:
        """The runner has a fact."""
        self.events.append(outcome.event)
        self._changed.set()

    def lose(self) -> None:
        """The lease is gone."""
        self.is_lost = True
        self._changed.set()

    def ask(self, event: event_pb2.Event | None) -> None:
        """Something ended in the run: look whether the step is still wanted."""
        self.is_asked = True
        self._changed.set()


def _run_info(run: entity_pb2.Run) -> RunInfo:
    started = run.start_time if run.HasField("start_time") else run.create_time
    return RunInfo(
        run_id=run.run_id,
        workflow_name=run.workflow_name,
        started_at=started.ToDatetime(tzinfo=UTC),
        attributes=dict(run.attributes),
        parent_run_id=run.parent_run_id or None,
        root_run_id=run.root_run_id or None,
    )
