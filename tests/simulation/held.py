"""Schedules of whole runtimes by a seed: real workers with their holds, on a real store, in virtual time, among faults.

Owns a cluster of runtimes around one store in one process, what goes wrong between them, and the life of one run in it.
Requests and answers are lost or late, a process dies before or after any call and another one starts, watches break,
a runtime is cut off for longer than its lease. A seed decides all of it, so that a seed is a schedule. Must never do
what a deployed runtime could not suffer. Read ``verdicts.py`` for what must hold then.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Coroutine
from dataclasses import dataclass
from typing import Any, Final, NoReturn

import grpc
import grpc.aio
import structlog

from holdfast.definitions import registry
from holdfast.errors import HoldfastError
from holdfast.testing.transport import InProcessChannel, InProcessServer
from holdfast.v1 import event_pb2, payload_pb2, queue_service_pb2, store_service_pb2
from runtime_service.names import RUN_QUEUE
from runtime_service.store import Call, Store, milliseconds
from runtime_service.worker.leases import LeaseKeeper
from runtime_service.worker.options import WorkerOptions
from runtime_service.worker.worker import Worker
from store_service.api.parts import make_parts
from store_service.api.services import add_services
from store_service.engines.contract import EventNote, MessageQuery, Note, Reader
from store_service.engines.sqlite.memory import MemoryDatabase, MemoryEngine
from store_service.rules import rebuild
from store_service.rules.audit import audit_runs
from tests.simulation import verdicts
from tests.simulation.desk import LEASE_MS, RUN
from tests.simulation.player import Mind
from tests.simulation.shapes import CURRENT, SHAPES, Shape, Work
from tests.simulation.virtual import NothingWillHappen, VirtualClock, VirtualLoop, run

Event = event_pb2.Event

RUNTIMES: Final = 2

#: Seconds in which faults happen, and after which a run that has not ended is stuck.
FAULTY_SECONDS: Final = 150.0
STUCK_SECONDS: Final = 3 * 3600.0


class HeldBroken(AssertionError):
    """A seed with which a promise was broken, with the command that plays it again."""

    def __init__(self, shape: str, seed: int, what: str, faults: list[str]) -> None:
        super().__init__(
            f"{what}\nshape {shape}, seed {seed}, faults: {', '.join(faults) or 'none'}\n"
            f"again: python -m tests.simulation {shape} --held-seed {seed}"
        )


def play(shape: str, seed: int) -> list[str]:
    """Play one schedule, and return its faults. Raises HeldBroken."""
    loop = VirtualLoop()
    cluster = Cluster(shape, seed, loop)
    structlog.configure(processors=[_drop])
    try:
        run(cluster.live(), loop)
    except NothingWillHappen:
        cluster.problems.append("nothing can happen any more, and the run has not ended")
    finally:
        structlog.reset_defaults()
        cluster.close()
    if cluster.problems:
        raise HeldBroken(shape, seed, "; ".join(cluster.problems), cluster.faults)
    return cluster.faults


def _drop(*_: Any) -> NoReturn:
    raise structlog.DropEvent


class Cluster:
    """One store, some runtimes, one run, and what goes wrong."""

    def __init__(self, shape: str, seed: int, loop: VirtualLoop) -> None:
        self.name = shape
        self.faults: list[str] = []
        self.problems: list[str] = []
        self.clock = VirtualClock(loop)
        self.server = InProcessServer()
        self._shape: Shape = SHAPES[shape]
        self._loop = loop
        self._random = random.Random(f"{shape} {seed}")
        # The pauses of the runtime's retries.
        random.seed(f"{shape} {seed} pauses")
        self._rate = self._random.choice((0.0, 0.02, 0.05, 0.15))
        self._database = MemoryDatabase()
        self._engine = MemoryEngine(self._database)
        self._processes: list[Process] = []
        self._work = Work(lambda: self._random.choice((0.0, 0.1, 1.0, 20.0)))

    def close(self) -> None:
        self._database.close()

    async def live(self) -> None:
        """Play the run to its end, and judge it."""
        CURRENT.work = self._work
        parts = await make_parts(self._engine, self.clock, streams_max=100)
        add_services(parts, self.server)  # type: ignore[arg-type]
        parts.start()
        self._processes = [Process(self, f"r{number}") for number in range(RUNTIMES)]
        for process in self._processes:
            process.start()
        outside = Store("outside", channel=InProcessChannel(self._find_server))  # type: ignore[arg-type]
        created = Event(run_created=event_pb2.RunCreated(workflow_name=f"simulated_{self.name}", wake_queue=RUN_QUEUE))
        ending = asyncio.create_task(self._until_ended())
        await outside.create(store_service_pb2.CreateEventRequest(run_id=RUN, event=created))
        others = asyncio.gather(self._send_values(outside), self._cancel(outside), self._break_watches())
        await ending
        others.cancel()
        await asyncio.gather(others, return_exceptions=True)
        await self._until_quiet()
        if not self.problems:
            self._engine.read_now(self._judge)
        for process in self._processes:
            await process.end()
        await outside.close()
        await parts.stop()
        await self._engine.close()

    def log_now(self) -> list[Event]:
        return self._engine.read_now(lambda reader: rebuild.read_log(reader, RUN, 10_000))

    async def _find_server(self) -> InProcessServer:
        return self.server

    async def _until_ended(self) -> None:
        ended = asyncio.Event()
        self._engine.listen(lambda notes: ended.set() if any(map(_is_end, notes)) else None)
        try:
            async with asyncio.timeout(STUCK_SECONDS):
                await ended.wait()
        except TimeoutError:
            self.problems.append(f"the run has not ended after {STUCK_SECONDS:.0f} s")

    async def _until_quiet(self) -> None:
        """Let leases end and messages be delivered that faults have left behind."""
        await asyncio.sleep(max(0.0, FAULTY_SECONDS - self._loop.time()) + 4 * LEASE_MS / 1000)

    # --- from outside -------------------------------------------------------------------------------------------

    async def _send_values(self, store: Store) -> None:
        for number, value in enumerate(self._shape.values):
            await asyncio.sleep(self._random.choice((0.0, 0.5, 5.0, 40.0)))
            while not any(it.HasField("hook_created") for it in self.log_now()):  # noqa: ASYNC110 - as above
                await asyncio.sleep(0.2)
            hook_id = next(it.correlation_id for it in self.log_now() if it.HasField("hook_created"))
            received = event_pb2.HookReceived(payload=payload_pb2.Payload(text=f'"{value}"'))
            request = store_service_pb2.CreateEventRequest(
                run_id=RUN, event=Event(correlation_id=hook_id, hook_received=received), request_id=f"value-{number}"
            )
            for _ in range(self._random.choice((1, 1, 2))):
                try:
                    await store.create(request)
                except HoldfastError:
                    # The hook is closed, and the sender is told.
                    return

    async def _cancel(self, store: Store) -> None:
        if self._shape.may_be_cancelled and self._random.random() < 0.7:
            await asyncio.sleep(self._random.choice((0.1, 1.0, 30.0, 3600.0)))
            event = Event(run_cancel_requested=event_pb2.RunCancelRequested(reason="enough"))
            try:
                await store.create(store_service_pb2.CreateEventRequest(run_id=RUN, event=event))
            except HoldfastError:
                return

    async def _break_watches(self) -> None:
        while self.may_fail:
            await asyncio.sleep(self._random.uniform(1, 40))
            if self._random.random() < self._rate * 5:
                self.note("watches break")
                for process in self._processes:
                    process.break_watches()

    # --- what goes wrong ----------------------------------------------------------------------------------------

    @property
    def may_fail(self) -> bool:
        return self._loop.time() < FAULTY_SECONDS

    def note(self, fault: str) -> None:
        self.faults.append(f"{self._loop.time():.1f} s {fault}")

    async def passing(self, process: Process, life: Life, method: str, moment: str) -> None:
        """Stand between a runtime and the store, before and after every call."""
        if life.is_dead:
            await _never()
        await self._be_late(process, life)
        if not self.may_fail or self._random.random() >= self._rate:
            return
        fault = self._random.choice(_FAULTS)
        self.note(f"{process.name} {fault} {moment} {method.rpartition('/')[2]}")
        if fault == "dies":
            process.die()
            await _never()
        if fault == "is cut off":
            life.cut_until = self._loop.time() + self._random.choice((2.0, 12.0, 25.0))
            await self._be_late(process, life)
        raise _unavailable()

    async def _be_late(self, process: Process, life: Life) -> None:
        """Let a call take its time: a moment, or until the runtime is no longer cut off."""
        delay = self._random.choice((0.0, 0.0, 0.001, 0.02)) if self.may_fail else 0.0
        await asyncio.sleep(max(delay, life.cut_until - self._loop.time()))
        if life.is_dead:
            await _never()

    # --- the verdict --------------------------------------------------------------------------------------------

    def _judge(self, reader: Reader) -> None:
        log = rebuild.read_log(reader, RUN, 10_000)
        self.problems += [finding for it in audit_runs(reader) for finding in it.findings]
        self.problems += verdicts.of_a_log(Mind(self._shape), self._shape, log)
        waiting = reader.messages(MessageQuery(queue=RUN_QUEUE, limit=10))
        self.problems += [f"a message is left in the queue: {it.last_reason or 'never delivered'}" for it in waiting]
        started = {(it.correlation_id, it.step_started.attempt) for it in log if it.HasField("step_started")}
        self.problems += [f"attempt {it} ran without a recorded start" for it in set(self._work.begun) - started]
        twice = {it for it in self._work.begun if self._work.begun.count(it) > 1}
        self.problems += [f"attempt {it} ran twice" for it in twice]


_FAULTS: Final = ("dies", "is not heard", "is not heard", "is cut off")


@dataclass(eq=False, slots=True)
class Life:
    """One life of a process: what dies with it."""

    worker: SimulatedWorker
    channel: InProcessChannel
    is_dead: bool = False
    cut_until: float = 0.0


class Process:
    """A runtime that comes back after it has died."""

    def __init__(self, cluster: Cluster, name: str) -> None:
        self.name = name
        self._cluster = cluster
        self._lives = 0
        self._life: Life | None = None
        self._changing: set[asyncio.Task[None]] = set()

    def start(self) -> None:
        """Begin a life."""
        self._do(self._begin())

    async def _begin(self) -> None:
        self._lives += 1
        options = WorkerOptions(
            runtime_id=f"{self.name}.{self._lives}",
            lease_ms=LEASE_MS,
            hands_out_steps=False,
            replay_always=self._lives % 2 == 0,
            rederive_max=1,
            # A run that is blocked here stays so: the fewer tries, the sooner it is told.
            blocked_delay_ms_max=600_000,
        )

        async def find_server() -> InProcessServer:
            return self._cluster.server

        async def passing(method: str, request: Any, moment: str) -> None:
            await self._cluster.passing(self, life, method, moment)

        channel = InProcessChannel(find_server, passing)
        store = Store(self.name, channel=channel)  # type: ignore[arg-type]
        life = self._life = Life(SimulatedWorker(store, options, self._cluster.clock), channel)
        try:
            await life.worker.start()
        except HoldfastError:
            # The store cannot be reached: the process ends, and whoever watches over it starts another.
            self.die()

    def die(self) -> None:
        """Be gone: nothing more comes from this life, and another begins a while later."""
        life = self._life
        assert life is not None
        life.is_dead = True
        self._do(self._bury(life))

    def break_watches(self) -> None:
        if self._life is not None and not self._life.is_dead:
            for stream in list(self._life.channel._streams):
                stream.cancel()

    async def end(self) -> None:
        if self._life is not None:
            self._life.is_dead = True
            await self._life.worker.kill()
            await self._life.channel.close()

    async def _bury(self, life: Life) -> None:
        await life.worker.kill()
        await life.channel.close()
        await asyncio.sleep(1.0)
        await self._begin()

    def _do(self, change: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(change)
        self._changing.add(task)
        task.add_done_callback(self._changing.discard)


class SimulatedWorker(Worker):
    """The deployed worker, but for its clock and for the thread that renews its leases."""

    def __init__(self, store: Store, options: WorkerOptions, clock: VirtualClock) -> None:
        super().__init__(store, registry, options, clock=clock)  # type: ignore[arg-type]
        self._leases = self._keeper = _Keeper(store, options.lease_ms)

    async def kill(self) -> None:
        """End as a process does: nothing more is written, nothing given back."""
        holds = list(self._holds.values())
        tasks = [*self._tasks, *([self._claiming] if self._claiming is not None else ())]
        self._keeper.stop()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self.feed.stop()
        self.runner.close()
        for instance in (*(hold.instance for hold in holds), *(it for _, it in self._cache.values())):
            if instance is not None:
                instance.evict()


class _Keeper(LeaseKeeper):
    """Renews leases as the deployed one does, in a task of the loop: threads have no virtual time."""

    def __init__(self, store: Store, lease_ms: int) -> None:
        super().__init__(store, lease_ms)
        self._renewing: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._renewing = asyncio.create_task(self._renew_for_ever())

    def stop(self) -> None:
        if self._renewing is not None:
            self._renewing.cancel()

    async def _renew_for_ever(self) -> None:
        extend: Call[queue_service_pb2.ExtendLeasesResponse] = self._store.queue.ExtendLeases
        while True:
            await asyncio.sleep(self._lease_ms / 3000)
            request = queue_service_pb2.ExtendLeasesRequest(
                receipts=list(self._kept), lease_duration=milliseconds(self._lease_ms)
            )
            if not request.receipts:
                continue
            try:
                answer = await extend(request)
            except grpc.RpcError:
                continue
            for result in answer.results:
                if not result.ok and (when_lost := self._kept.pop(result.receipt, None)):
                    when_lost()


def _is_end(note: Note) -> bool:
    return isinstance(note, EventNote) and note.terminal


def _unavailable() -> grpc.aio.AioRpcError:
    return grpc.aio.AioRpcError(
        grpc.StatusCode.UNAVAILABLE, grpc.aio.Metadata(), grpc.aio.Metadata(), "lost on the way", ""
    )


async def _never() -> NoReturn:
    await asyncio.get_running_loop().create_future()
    raise AssertionError("nothing ends this")
