"""Both services in this process: the real store and the real runtime, around virtual time.

With ``worker.py`` all of ``holdfast.testing`` that knows the services. Owns a `World`: a store on an engine in
memory, a runtime that can be killed and started again, and what moves their clock. Everything is the code that is
deployed; only the clock, the wire (``transport.py``) and the disk are not. Must never write to the log of a run that
has begun.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Any, Final, NoReturn

from holdfast.definitions import WorkflowDefinition
from holdfast.errors import RunNotFound
from holdfast.testing.clock import VirtualClock
from holdfast.testing.stubs import Stubs
from holdfast.testing.timekeeper import Timekeeper
from holdfast.testing.transport import InProcessChannel, InProcessServer
from holdfast.testing.worker import TestedWorker
from holdfast.v1 import entity_pb2, event_pb2, runtime_service_pb2_grpc, store_service_pb2
from runtime_service.api.front import Front
from runtime_service.api.servicer import RuntimeServicer
from runtime_service.replay.instance import Instance
from runtime_service.store import Store
from runtime_service.worker.options import WorkerOptions
from store_service import checksum
from store_service.api.parts import Parts, make_parts
from store_service.api.services import add_services
from store_service.engines.contract import (
    DeletedNote,
    EntityKind,
    EntityQuery,
    EventNote,
    ExpiryNote,
    Note,
    Transaction,
)
from store_service.engines.sqlite.memory import MemoryDatabase, MemoryEngine
from store_service.rules import queue, reading, rebuild, stored, waking

#: Asked before and after each write of the runtime, with its method and request: crash here?
Interrupt = Callable[[str, Any, str], bool]

_ADDRESS: Final = "in process"

#: Where webhooks would be reached, if there were a port; the name is reserved for such.
_PUBLIC_URL: Final = "https://holdfast.example"
#: A blocked run is tried again after twice the time, up to this: an ``advance`` of a month must not be a million tries.
_BLOCKED_DELAY_MS_MAX: Final = 30 * 24 * 3_600_000

_RUNNING: Final = (entity_pb2.STEP_STATUS_RUNNING,)


def replay_log(workflow: WorkflowDefinition, events: Sequence[event_pb2.Event]) -> None:
    """Replay a log against a workflow. Raises ReplayDivergence or NotDeterministic; writes and runs nothing."""
    instance = Instance(workflow, events[0].run_id)
    try:
        if foresee := getattr(instance, "foresee", None):
            foresee(events)
        for event in events:
            instance.deliver(event, is_replayed=True)
    finally:
        instance.evict()


class World:
    """A store and a runtime with a time of their own. ``open`` before use, ``close`` at the end."""

    def __init__(self, *, start_ms: int, stubs: Stubs, replay_always: bool, interrupt: Interrupt | None = None) -> None:
        self.clock: Final = VirtualClock(start_ms)
        self._stubs = stubs
        self._options = WorkerOptions(
            runtime_id="test",
            lease_ms=3_600_000,
            linger_ms=0,
            drain_seconds=0,
            public_url=_PUBLIC_URL,
            blocked_delay_ms_max=_BLOCKED_DELAY_MS_MAX,
            # Steps of every queue run, or are stubbed, in the world itself.
            hands_out_steps=False,
            replay_always=replay_always,
        )
        self._interrupt = interrupt
        self._database = MemoryDatabase()
        self._engine = MemoryEngine(self._database)
        self._store_server = InProcessServer()
        self._is_up = asyncio.Event()
        self._recovering: asyncio.Task[None] | None = None
        self._forgiven: dict[str, set[str]] = {}
        self._followed_ends: dict[str, set[asyncio.Future[None]]] = {}
        #: For clients; leads to the runtime that lives at the time of a call.
        self.channel: Final = _ClientChannel(self)
        self.keeper: Timekeeper
        self._parts: Parts
        self._life: _Life

    async def open(self) -> None:
        """Start the store, the runtime, and time."""
        self.keeper = Timekeeper(
            self.clock, is_busy=self._is_busy, next_due_ms=self._next_due_ms, is_stuck=self._is_stuck
        )
        self._parts = await make_parts(self._engine, self.clock, streams_max=10_000)
        add_services(self._parts, self._store_server)  # type: ignore[arg-type]
        self._engine.listen(self._take_notes)
        self._parts.start()
        await self._start_runtime()

    async def close(self) -> None:
        """End everything; step bodies that run are cancelled and waited for."""
        await self.keeper.stop()
        if self._recovering is not None:
            await asyncio.gather(self._recovering, return_exceptions=True)
        await self.channel.close()
        await self._life.end()
        self._parts.say_goodbye(self.clock())
        await self._parts.stop()
        await self._engine.close()
        # Cancelled alarms go with the next turn of the loop.
        await asyncio.sleep(0)
        self._database.close()

    def history(self, run_id: str) -> list[event_pb2.Event]:
        """Return a run's log. Raises RunNotFound."""
        found: list[event_pb2.Event] = []
        if self._engine.read_now(lambda tx: tx.run(run_id)) is None:
            raise RunNotFound(f"there is no run {run_id} in this environment")
        while True:
            request = store_service_pb2.ListEventsRequest(run_id=run_id, page_size=1000, after_seq=len(found))
            page = self._engine.read_now(lambda tx, request=request: reading.list_events(tx, request))  # type: ignore[misc]
            found.extend(page.events)
            if not page.next_page_token:
                return found

    async def adopt(self, created: event_pb2.Event) -> None:
        """Begin a run of another world again, from its very first event: what it draws its random numbers from."""
        await self._engine.write(lambda tx: _adopt(tx, created, self.clock()))

    async def until_ended(self, run_id: str) -> None:
        """Return when the end of the run is written after this call, or the run is deleted."""
        ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        followers = self._followed_ends.setdefault(run_id, set())
        followers.add(ended)
        try:
            await ended
        finally:
            followers.discard(ended)

    # The runtime, its death and its return.

    async def _start_runtime(self) -> None:
        life = self._life = _Life(self)
        await life.worker.start()
        self._is_up.set()

    async def living(self) -> _Life:
        """Return the life of the runtime, once there is one."""
        await self._is_up.wait()
        return self._life

    async def _recover(self, life: _Life) -> None:
        """Follow a crash: its process is gone, its leases end at once, another process starts."""
        receipts = life.worker.receipts
        await life.end()
        for run_id, step_id in self._engine.read_now(_running_steps):
            self._forgiven.setdefault(run_id, set()).add(step_id)
        await self._parts.delivery.release(receipts)
        await self._start_runtime()
        self._recovering = None
        self.keeper.nudge()

    async def passing(self, life: _Life, method: str, request: Any, moment: str) -> None:
        """Stand between the runtime and the store: a dead runtime gets nothing through, a crash begins here."""
        if not life.is_dead and self._interrupt is not None and self._interrupt(method, request, moment):
            life.die()
            self._is_up.clear()
            self._recovering = asyncio.create_task(self._recover(life), name="holdfast-recovery")
        if life.is_dead:
            await _never()

    def new_worker(self, channel: InProcessChannel) -> TestedWorker:
        """Make the worker of a life that begins."""
        return TestedWorker(
            Store(_ADDRESS, channel=channel),  # type: ignore[arg-type]
            self._options,
            self.clock,
            self._stubs,
            self._forgiven,
            is_recorded=self._interrupt is None,
            nudge=self.keeper.nudge,
        )

    # What time is waiting for.

    def _is_busy(self) -> bool:
        return self._recovering is not None or self._life.worker.is_busy

    def _is_stuck(self) -> bool:
        return self._life.worker.is_blocked

    def _next_due_ms(self) -> int | None:
        now_ms = self.clock()
        return self._engine.read_now(lambda tx: _next_due_ms(tx, now_ms))

    def _take_notes(self, notes: Iterable[Note]) -> None:
        for note in notes:
            if isinstance(note, DeletedNote) or (isinstance(note, EventNote) and note.terminal):
                for ended in self._followed_ends.pop(note.run_id, ()):
                    if not ended.done():
                        ended.set_result(None)


class _Life:
    """One process of a runtime, as it were: its worker, its front door, and whether it is dead."""

    def __init__(self, world: World) -> None:
        async def store() -> InProcessServer:
            return world._store_server

        async def passing(method: str, request: Any, moment: str) -> None:
            await world.passing(self, method, request, moment)

        self.died: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._channel = InProcessChannel(store, passing)
        self.worker = world.new_worker(self._channel)
        self.server = InProcessServer()
        front = Front(self.worker, "test", "0", store_id="memory")
        runtime_service_pb2_grpc.add_RuntimeServiceServicer_to_server(
            RuntimeServicer(front),
            self.server,  # type: ignore[arg-type]
        )

    @property
    def is_dead(self) -> bool:
        return self.died.done()

    def die(self) -> None:
        """From now on nothing of it reaches the store, and nobody gets an answer from it."""
        if not self.is_dead:
            self.died.set_result(None)

    async def end(self) -> None:
        """Let nothing of it be left."""
        self.die()
        await self.worker.kill()
        await self._channel.close()


class _ClientChannel(InProcessChannel):
    """A channel to the runtime that lives; a unary call that its death cuts off is made again to the next one."""

    def __init__(self, world: World) -> None:
        async def server() -> InProcessServer:
            return (await world.living()).server

        super().__init__(server)
        self._world = world

    async def _unary(self, *call: Any, **options: Any) -> Any:
        while True:
            life = await self._world.living()
            calling = asyncio.create_task(super()._unary(*call, **options))
            try:
                await asyncio.wait({calling, life.died}, return_when=asyncio.FIRST_COMPLETED)
                if calling.done():
                    return calling.result()
            finally:
                calling.cancel()


def _next_due_ms(tx: Transaction, now_ms: int) -> int | None:
    queues = [tx.next_ready_ms(name, now_ms) for name in tx.queue_names(after="", limit=1000)]
    return min((at_ms for at_ms in (tx.next_expiry_ms(), *queues) if at_ms is not None), default=None)


def _adopt(tx: Transaction, created: event_pb2.Event, now_ms: int) -> None:
    derived = rebuild.derive([created])
    row = stored.row_of(created, stored.time_of(created), checksum.FIRST)
    tx.insert_event(row)
    tx.put_run(replace(derived.run, head_checksum=checksum.own(row.checksum)))
    tx.put_attributes(created.run_id, derived.attributes)
    queue.enqueue(tx, waking.message_for(stored.run_of(derived.run), created.run_created), now_ms)
    tx.note(EventNote(created.run_id, created.seq, terminal=False, kinds=frozenset((created.type,))))
    if derived.run.expire_ms is not None:
        tx.note(ExpiryNote(derived.run.expire_ms))


def _running_steps(tx: Transaction) -> list[tuple[str, str]]:
    running = tx.entities(EntityQuery(kind=EntityKind.STEP, limit=10_000, statuses=_RUNNING))
    return [(row.run_id, row.entity_id) for row in running]


async def _never() -> NoReturn:
    await asyncio.get_running_loop().create_future()
    raise AssertionError("nothing ends this")
