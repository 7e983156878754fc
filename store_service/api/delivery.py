"""Handing messages to those who wait: one loop claims for all of them.

Owns every claim of the server. Callers stand in line in order of arrival; after a note about a queue one unit of
work claims for as many of them as there are messages, so a hundred waiters cost one transaction and none is
overtaken. Nobody polls: a queue is looked at when a caller arrives, when a commit notes it, and when its next message
or lease end is due. A caller that is gone when its messages arrive must not keep them: they are released.

The interleaving behind that: (1) a caller is in line; (2) the claim for it is on its way to the database; (3) the
caller hangs up; (4) the claim commits. Proof: `tests/queue/test_delivery.py`.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import structlog

from holdfast.refusal import Refusal
from holdfast.v1 import queue_service_pb2
from store_service.api.alarm import Alarm
from store_service.api.clock import Clock
from store_service.engines.contract import Engine, MissedNotes, Note, QueueNote, Transaction
from store_service.rules import leases, queue

log = structlog.get_logger(__name__)

Leased = list[queue_service_pb2.LeasedMessage]

#: When to look again at a lease that is over and that another store has hold of at this moment.
_LOOK_AGAIN_MS: Final = 20

#: `last_reason` of a message whose consumer went away while it was handed out.
WENT_AWAY: Final = "its consumer went away"


@dataclass(slots=True, eq=False)
class _Caller:
    """One place in the line. ``is_new`` until the first try, which is made whatever is known of the queues."""

    queues: tuple[str, ...]
    limit: int
    lease_ms: int
    may_wait: bool
    answer: asyncio.Future[Leased]
    is_new: bool = True


@dataclass(frozen=True, slots=True)
class _Round:
    """What one claiming unit found: messages per caller, and when to look again at the queues that had too few."""

    claimed: list[Leased]
    next_ready_ms: dict[str, int | None]


class Delivery:
    """The line of callers and the loop that serves it. ``start`` before use, ``stop`` before the engine closes."""

    def __init__(self, engine: Engine, clock: Clock) -> None:
        self._engine = engine
        self._clock = clock
        self._line: dict[_Caller, None] = {}
        self._interest: Counter[str] = Counter()
        self._hot: set[str] = set()
        self._due: dict[str, int] = {}
        self._alarm = Alarm(clock, self._heat_due)
        self._work = asyncio.Event()
        self._stop_listening = engine.listen(self._take_notes)
        self._is_draining = False
        self._task: asyncio.Task[None] | None = None
        self._releases: set[asyncio.Task[None]] = set()

    def start(self) -> None:
        self._task = asyncio.create_task(self._serve_for_ever(), name="store-delivery")

    @property
    def waiting(self) -> int:
        """How many callers stand in line."""
        return len(self._line)

    def drain(self) -> None:
        """Answer everyone in line with nothing, now and from now on."""
        self._is_draining = True
        for caller in list(self._line):
            self._leave(caller)
            _answer(caller, [])

    async def stop(self) -> None:
        """End the loop; a claim on its way is waited for, so that what it took is released."""
        self.drain()
        self._stop_listening()
        self._alarm.set(None)
        self._work.set()
        if self._task is not None:
            await self._task
        await asyncio.gather(*self._releases)

    async def take(self, queues: Sequence[str], *, limit: int, lease_ms: int, wait_seconds: float | None) -> Leased:
        """Lease up to ``limit`` messages, waiting up to ``wait_seconds`` for the first (None: for ever, 0: not at all).

        Returns nothing when the wait is over or the server drains. Safe to cancel: what was being handed over
        is released. Raises what the engine refuses with.
        """
        if self._is_draining:
            return []
        answer: asyncio.Future[Leased] = asyncio.get_running_loop().create_future()
        caller = _Caller(tuple(dict.fromkeys(queues)), limit, lease_ms, wait_seconds != 0, answer)
        self._enter(caller)
        try:
            await asyncio.wait([answer], timeout=wait_seconds or None)
        except asyncio.CancelledError:
            self._abandon(answer)
            raise
        finally:
            self._leave(caller)
        if answer.done():
            return answer.result()
        answer.cancel()
        return []

    def release_soon(self, receipts: Sequence[str]) -> None:
        """``release`` for those who cannot wait for it; ``stop`` waits for what is under way."""
        task = asyncio.create_task(self.release(receipts), name="store-release")
        self._releases.add(task)
        task.add_done_callback(self._releases.discard)

    async def release(self, receipts: Sequence[str]) -> None:
        """Give messages back that nobody will settle; the delivery does not count. Never raises: leases end anyway."""
        wish = leases.GiveBack(action=queue_service_pb2.NACK_ACTION_RELEASE, reason=WENT_AWAY)
        now_ms = self._clock()
        try:
            await self._engine.write(lambda tx: leases.nack_many(tx, receipts, wish, now_ms))
        except Refusal as refusal:
            log.warning("messages not released, their leases will end", count=len(receipts), error=refusal.message)

    def _enter(self, caller: _Caller) -> None:
        self._line[caller] = None
        self._interest.update(caller.queues)
        self._work.set()

    def _abandon(self, answer: asyncio.Future[Leased]) -> None:
        """A cancelled caller: a claim that commits later finds the answer cancelled; one that came is given back."""
        if answer.cancel() or answer.exception() is not None:
            return
        if answer.result():
            self.release_soon([message.receipt for message in answer.result()])

    def _leave(self, caller: _Caller) -> None:
        if caller not in self._line:
            return
        del self._line[caller]
        self._interest.subtract(caller.queues)
        for name in caller.queues:
            if self._interest[name] <= 0:
                del self._interest[name]
                self._due.pop(name, None)
                self._hot.discard(name)

    def _take_notes(self, notes: Sequence[Note]) -> None:
        now_ms: int | None = None
        for note in notes:
            if isinstance(note, MissedNotes):
                self._hot.update(self._interest)
                self._work.set()
            if not isinstance(note, QueueNote) or note.queue not in self._interest:
                continue
            now_ms = self._clock() if now_ms is None else now_ms
            if note.ready_ms <= now_ms:
                self._hot.add(note.queue)
                self._work.set()
            else:
                self._look_again(note.queue, note.ready_ms)
        self._set_alarm()

    def _look_again(self, name: str, at_ms: int) -> None:
        self._due[name] = min(at_ms, self._due.get(name, at_ms))

    def _set_alarm(self) -> None:
        self._alarm.set(min(self._due.values(), default=None))

    def _heat_due(self) -> None:
        now_ms = self._clock()
        for name in [name for name, at_ms in self._due.items() if at_ms <= now_ms]:
            del self._due[name]
            self._hot.add(name)
        self._set_alarm()
        self._work.set()

    async def _serve_for_ever(self) -> None:
        while not (self._is_draining and not self._line):
            await self._work.wait()
            self._work.clear()
            callers = self._callers_of_this_round()
            if callers:
                await self._serve(callers)

    def _callers_of_this_round(self) -> list[_Caller]:
        hot, self._hot = self._hot, set()
        return [caller for caller in self._line if caller.is_new or not hot.isdisjoint(caller.queues)]

    async def _serve(self, callers: Sequence[_Caller]) -> None:
        for caller in callers:
            caller.is_new = False
        now_ms = self._clock()
        try:
            found = await self._engine.write(lambda tx: _claim_for(tx, callers, now_ms))
        except Exception as error:
            # Everyone in this round is told; the loop must outlive it.
            for caller in callers:
                self._leave(caller)
                if not caller.answer.done():
                    caller.answer.set_exception(error)
            return
        orphans = self._hand_over(callers, found)
        if orphans:
            await self.release(orphans)

    def _hand_over(self, callers: Sequence[_Caller], found: _Round) -> list[str]:
        """Answer the callers of a round; returns the receipts of those who are gone."""
        orphans: list[str] = []
        for caller, messages in zip(callers, found.claimed, strict=True):
            if caller.answer.done():
                orphans += [message.receipt for message in messages]
            elif messages or not caller.may_wait:
                self._leave(caller)
                _answer(caller, messages)
        soon_ms = self._clock() + _LOOK_AGAIN_MS
        for name, at_ms in found.next_ready_ms.items():
            if at_ms is not None and name in self._interest:
                self._look_again(name, max(at_ms, soon_ms))
        self._set_alarm()
        return orphans


def _claim_for(tx: Transaction, callers: Sequence[_Caller], now_ms: int) -> _Round:
    """Claim for each caller in turn; a queue that had nothing is not asked again in this unit."""
    empty: set[str] = set()
    claimed: list[Leased] = []
    for caller in callers:
        claimed.append(_claim_one(tx, caller, empty, now_ms))
    return _Round(claimed, {name: tx.next_ready_ms(name, now_ms) for name in empty})


def _claim_one(tx: Transaction, caller: _Caller, empty: set[str], now_ms: int) -> Leased:
    for name in caller.queues:
        if name in empty:
            continue
        messages = queue.claim(tx, [name], caller.limit, caller.lease_ms, now_ms)
        if messages:
            return messages
        empty.add(name)
    return []


def _answer(caller: _Caller, messages: Leased) -> None:
    if not caller.answer.done():
        caller.answer.set_result(messages)
