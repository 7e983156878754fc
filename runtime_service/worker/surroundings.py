"""What a hold finds around it: the parts of the worker that every held run shares."""

from __future__ import annotations

from collections.abc import Collection
from typing import Protocol

from holdfast.definitions import Registry
from runtime_service.steps.runner import StepRunner
from runtime_service.store import Store
from runtime_service.tasks.ends import StepEnds
from runtime_service.worker.clock import StoreClock
from runtime_service.worker.counters import Counters
from runtime_service.worker.feed import Feed
from runtime_service.worker.hooks import HookDirectory
from runtime_service.worker.options import WorkerOptions
from runtime_service.worker.slots import Slots


class Surroundings(Protocol):
    """The worker, as seen by a hold."""

    store: Store
    registry: Registry
    options: WorkerOptions
    clock: StoreClock
    counters: Counters
    slots: Slots
    runner: StepRunner
    feed: Feed
    hooks: HookDirectory
    ends: StepEnds

    @property
    def is_draining(self) -> bool: ...

    def forgiven_steps(self, run_id: str) -> Collection[str]:
        """Return the steps whose newest start, when it is lost, counts as no attempt."""

    def blocked_delay_ms(self, run_id: str) -> int:
        """Return how long a blocked run rests before it is tried again; longer each time in a row."""
