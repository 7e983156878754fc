"""The runtime's worker as a test has it: virtual time, stubs for steps, and an end as sudden as a crash.

Owns what differs from a deployed worker, and nothing else does: where its clock is read, that leases need no renewal
while time stands still, what runs as the body of a step. Read ``services.py`` for the world around it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from typing import Final

from holdfast.definitions import registry
from holdfast.retry import ATTEMPTS_MAX
from holdfast.testing.clock import VirtualClock
from holdfast.testing.stubs import Stubs
from runtime_service.steps.runner import Attempt, Outcome, RunningAttempt, StepRunner
from runtime_service.store import Store
from runtime_service.worker.clock import StoreClock
from runtime_service.worker.leases import LeaseKeeper
from runtime_service.worker.options import WorkerOptions
from runtime_service.worker.worker import Worker

#: A run that was set aside this often in a row will not get on by itself.
_BLOCKED_MAX: Final = 2


class TestedRunner(StepRunner):
    """Runs stubs where there are some; retries without jitter, so that a test can tell when they come."""

    _worker: TestedWorker
    _stubs: Stubs
    _is_recorded: bool
    _nudge: Callable[[], None]

    def serve(self, worker: TestedWorker, stubs: Stubs, *, is_recorded: bool, nudge: Callable[[], None]) -> None:
        """Take what it looks at; before the first attempt."""
        self._worker = worker
        self._stubs = stubs
        self._is_recorded = is_recorded
        self._nudge = nudge

    @property
    def is_busy(self) -> bool:
        return bool(self._tasks)

    def start(self, attempt: Attempt, report: Callable[[Outcome], None]) -> RunningAttempt:
        return super().start(self._as_tested(attempt), report)

    def keep(self, task: asyncio.Task[object]) -> None:
        super().keep(task)
        task.add_done_callback(lambda _: self._nudge())

    async def end(self) -> None:
        """Cancel every body and wait for its cleanup, as long as a running one would get."""
        self.close()
        if self._tasks:
            await asyncio.wait(list(self._tasks), timeout=self.cancel_grace_seconds)

    def _as_tested(self, attempt: Attempt) -> Attempt:
        definition = attempt.definition
        body = self._stubs.body_of(definition, is_recorded=self._is_recorded)
        lost = attempt.step_id in self._worker.forgiven_steps(attempt.run.run_id)
        retry = replace(
            definition.retry, jitter=0, max_attempts=min(ATTEMPTS_MAX, definition.retry.max_attempts + lost)
        )
        return replace(attempt, definition=replace(definition, function=body or definition.function, retry=retry))


class TestedWorker(Worker):
    """The worker of a world.

    ``forgiven`` are the steps, by run, whose newest start was lost to a crash on purpose; ``is_recorded`` whether stubs
    note their calls; ``nudge`` is called when a body has ended.
    """

    runner_type = TestedRunner

    def __init__(
        self,
        store: Store,
        options: WorkerOptions,
        clock: VirtualClock,
        stubs: Stubs,
        forgiven: Mapping[str, Collection[str]],
        *,
        is_recorded: bool,
        nudge: Callable[[], None],
    ) -> None:
        super().__init__(store, registry, options, clock=_SharedClock(clock))
        self._forgiven = forgiven
        self._leases = self._receipts = _Receipts(store, options.lease_ms)
        assert isinstance(self.runner, TestedRunner)
        self._bodies = self.runner
        self._bodies.serve(self, stubs, is_recorded=is_recorded, nudge=nudge)

    @property
    def is_busy(self) -> bool:
        return self._bodies.is_busy

    @property
    def is_blocked(self) -> bool:
        """Whether a run is set aside that no passing of time will help."""
        return any(times >= _BLOCKED_MAX for times in self._blocked.values())

    @property
    def receipts(self) -> list[str]:
        return self._receipts.kept

    def forgiven_steps(self, run_id: str) -> Collection[str]:
        return self._forgiven.get(run_id, ())

    async def kill(self) -> None:
        """End as a crash would: nothing more is written, nothing given back."""
        holds = list(self._holds.values())
        tasks = [*self._tasks, *([self._claiming] if self._claiming is not None else ())]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self.feed.stop()
        await self._bodies.end()
        for instance in (*(hold.instance for hold in holds), *(it for _, it in self._cache.values())):
            if instance is not None:
                instance.evict()


class _SharedClock(StoreClock):
    """The runtime's clock, which is the store's."""

    def __init__(self, clock: VirtualClock) -> None:
        self._clock = clock

    def __call__(self) -> int:
        return self._clock()

    def set(self, store_ms: int) -> None:
        self._clock.set(store_ms)


class _Receipts(LeaseKeeper):
    """Leases that need no renewal: time stands still while a run is held."""

    def start(self) -> None:
        """Begin nothing."""

    @property
    def kept(self) -> list[str]:
        return list(self._kept)
