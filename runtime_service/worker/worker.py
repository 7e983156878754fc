"""The worker: claims wake messages and holds the runs behind them.

Owns what the held runs share (store, registry, slots, clock, counters, leases, feed) and the cache of live
instances. A run is held by at most one process: its messages share a group, a delivery is a lease, and the
lease's receipt travels with every write. Read ``hold.py`` for what happens to a run.
"""

from __future__ import annotations

import asyncio
import random
from collections import OrderedDict
from collections.abc import Collection
from typing import Final

import structlog

from holdfast.definitions import Registry
from holdfast.errors import HoldfastError
from holdfast.v1 import queue_service_pb2, store_service_pb2
from runtime_service.replay.instance import Instance
from runtime_service.replies import send_reply
from runtime_service.steps.runner import StepRunner
from runtime_service.store import Call, Store, milliseconds
from runtime_service.tasks.ends import StepEnds
from runtime_service.tasks.own import OwnTasks
from runtime_service.tasks.reporting import Reporting
from runtime_service.tasks.watching import Watching
from runtime_service.worker.batch import committed
from runtime_service.worker.child_runs import ChildRuns
from runtime_service.worker.clock import StoreClock
from runtime_service.worker.counters import Counters
from runtime_service.worker.feed import Feed
from runtime_service.worker.history import History
from runtime_service.worker.hold import Hold
from runtime_service.worker.hooks import HookDirectory
from runtime_service.worker.leases import LeaseKeeper
from runtime_service.worker.options import WorkerOptions
from runtime_service.worker.routing import is_served, queues_of
from runtime_service.worker.slots import Slots

log = structlog.get_logger(__name__)

#: Length of one long poll, and the pause after a failed one.
_POLL_MS: Final = 30_000
_PAUSE_SECONDS: Final = 0.2

#: Seconds that runs have at least to be given back when the process drains.
_GIVE_BACK_SECONDS: Final = 1.0

#: Messages of one claim.
_CLAIM_MAX: Final = 50


class Worker:
    """Claims runs, holds them, and lets them go. ``start``, then ``drain``; it is the ``Surroundings`` of its holds."""

    #: What runs the attempts.
    runner_type: type[StepRunner] = StepRunner

    def __init__(
        self, store: Store, registry: Registry, options: WorkerOptions, *, clock: StoreClock | None = None
    ) -> None:
        self.store = store
        self.registry = registry
        self.options = options
        self.clock = clock or StoreClock()
        self.counters = Counters()
        self.slots = Slots(options.concurrency)
        self.runner = self.runner_type(
            threads=options.concurrency,
            now_ms=self.clock,
            rng=random.Random(),
            runs=ChildRuns(self),
            respond=self._respond,
            append_chunks=store.append_chunks,
        )
        self.feed = Feed(store, self.clock.set)
        self.hooks = HookDirectory()
        self._leases = LeaseKeeper(store, options.lease_ms)
        self.ends = StepEnds(store)
        self.reporting = Reporting(store, self.clock, random.Random(), self.feed.tell)
        self._own_tasks = OwnTasks(self, self.ends, self._leases, self.reporting)
        self._serving_tasks: list[asyncio.Task[None]] = []
        self._holds: dict[str, Hold] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._cache: OrderedDict[str, tuple[History, Instance]] = OrderedDict()
        self._blocked: dict[str, int] = {}
        self._claiming: asyncio.Task[None] | None = None
        self._room = asyncio.Event()
        self._draining = False

    @property
    def is_draining(self) -> bool:
        return self._draining

    @property
    def live_runs(self) -> int:
        """Runs whose live instance is in memory, held or cached."""
        return len(self._cache) + sum(1 for hold in self._holds.values() if hold.instance is not None)

    @property
    def active_steps(self) -> int:
        return self.slots.taken

    @property
    def active_replays(self) -> int:
        return len(self._holds)

    async def start(self) -> None:
        """Begin to claim runs; returns once the watch of the store is live."""
        get_info: Call[store_service_pb2.GetStoreInfoResponse] = self.store.events.GetStoreInfo
        info = await self.store.call(get_info, store_service_pb2.GetStoreInfoRequest())
        self.clock.set(info.server_time.ToMilliseconds())
        await self.feed.start()
        self._leases.start()
        self._claiming = asyncio.create_task(self._claim_until_drained(), name="holdfast-claims")
        if self.options.hands_out_steps:
            watching = Watching(
                self.store, self.clock, random.Random(), self.reporting, consumer_id=self.options.runtime_id
            )
            self._serving_tasks = [
                asyncio.create_task(watching.run(), name="holdfast-step-watches"),
                asyncio.create_task(self._own_tasks.run(), name="holdfast-own-tasks"),
            ]

    async def drain(self) -> None:
        """Claim nothing more, let attempts end within the drain time, give every run back. Idempotent."""
        self._draining = True
        if self._claiming is not None:
            self._claiming.cancel()
            await asyncio.gather(self._claiming, return_exceptions=True)
        for task in self._serving_tasks:
            task.cancel()
        await asyncio.gather(*self._serving_tasks, return_exceptions=True)
        draining = asyncio.create_task(self._own_tasks.drain(self.options.drain_seconds))
        for hold in list(self._holds.values()):
            hold.nudge()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=self.options.drain_seconds)
        for hold in list(self._holds.values()):
            hold.stop()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=max(self.options.drain_seconds, _GIVE_BACK_SECONDS))
        # The store does not answer those that are left. The channel closes next; one that tried again on it would
        # take that for an unexpected error of its run. Their leases end by themselves.
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await draining
        self._leases.stop()
        await self.feed.stop()
        self.runner.close()

    def will_tell_end(self, run_id: str) -> bool:
        """Tell whether followers of the run are sure to hear of its end: it is held here and has not ended yet."""
        hold = self._holds.get(run_id)
        return hold is not None and hold.will_see_end

    async def create_run(self, create: store_service_pb2.CreateEventRequest) -> store_service_pb2.CreateEventResponse:
        """Create a run, and take it up at once, under a lease born with its first event, when there is room.

        Its log is not read: beginning from an old copy is safe, for the guard refuses what a newer one would change.
        Raises what the store answers.
        """
        is_ours = is_served(self.registry, create.event.run_created.wake_queue)
        if is_ours and not self._draining and len(self._tasks) < self.options.holds_max:
            create.lease_wake.CopyFrom(milliseconds(self.options.lease_ms))
        answer = await self.store.create(create)
        if answer.HasField("wake_lease"):
            first = committed(create.event, answer.event)
            self._take_up(answer.wake_lease, History(answer.run.run_id, [first], self.store.sealing))
        return answer

    def blocked_delay_ms(self, run_id: str) -> int:
        """Return how long a blocked run rests: doubled each time in a row, up to the option's limit."""
        times = self._blocked[run_id] = self._blocked.get(run_id, 0) + 1
        return min(500 << min(times, 20), self.options.blocked_delay_ms_max)

    async def _respond(self, queue: str, request_id: str, until_ms: int, response: str) -> bool:
        """Answer the sender of a webhook's request, see ``StepContext.respond``."""
        if self.clock() >= until_ms:
            return False
        await send_reply(self.store, queue, request_id, until_ms, response)
        return True

    def forgiven_steps(self, run_id: str) -> Collection[str]:
        """Return the steps whose newest start, lost with its process, is no attempt: none, but in tests of crashes."""
        return ()

    async def _claim_until_drained(self) -> None:
        while True:
            while (free := self.options.holds_max - len(self._tasks)) <= 0:
                self._room.clear()
                await self._room.wait()
            try:
                messages = await self.store.receive(
                    queues=queues_of(self.registry),
                    messages_max=min(free, _CLAIM_MAX),
                    wait_ms=_POLL_MS,
                    lease_ms=self.options.lease_ms,
                    consumer_id=self.options.runtime_id,
                )
            except HoldfastError as error:
                log.info("no claims for now", error=str(error))
                await asyncio.sleep(_PAUSE_SECONDS)
                continue
            self.counters.claims += len(messages)
            for message in messages:
                self._take_up(message)

    def _take_up(self, message: queue_service_pb2.LeasedMessage, fresh: History | None = None) -> None:
        self._leases.keep(message.receipt, lambda: self._lost(message))
        history, instance = (fresh, None) if fresh is not None else self._known(message.message.group)
        hold = Hold(self, message, history, instance, is_current=fresh is not None)
        self._holds[hold.run_id] = hold
        task = asyncio.create_task(self._hold(hold), name=f"hold:{hold.run_id}")
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        self._room.set()

    def _lost(self, message: queue_service_pb2.LeasedMessage) -> None:
        hold = self._holds.get(message.message.group)
        if hold is not None and hold.receipt == message.receipt:
            hold.lose_lease()

    async def _hold(self, hold: Hold) -> None:
        try:
            with self.feed.follow(hold.run_id, hold):
                await hold.run()
            self._after(hold)
        except HoldfastError as error:
            # The store is away: the lease ends by itself and the run is delivered again.
            log.warning("run left to its lease", run_id=hold.run_id, error=str(error))
        finally:
            self._leases.forget(hold.receipt)
            if self._holds.get(hold.run_id) is hold:
                del self._holds[hold.run_id]

    def _known(self, run_id: str) -> tuple[History, Instance | None]:
        return self._cache.pop(run_id) if run_id in self._cache else (History(run_id, (), self.store.sealing), None)

    def _after(self, hold: Hold) -> None:
        if not hold.is_parked:
            self._blocked.pop(hold.run_id, None)
        if hold.is_clean and hold.instance is not None:
            self._keep(hold.history, hold.instance)

    def _keep(self, history: History, instance: Instance) -> None:
        """Keep a live instance for the next claim of its run, if it saves more than it takes up."""
        if self.options.replay_always or len(history.events) < self.options.cached_events_min:
            instance.evict()
            return
        self._cache[history.run_id] = (history, instance)
        if len(self._cache) > self.options.cached_runs_max:
            _, (_, oldest) = self._cache.popitem(last=False)
            oldest.evict()
