"""A hold: one run in the hands of this process, from the claim of its wake message to letting go.

The heart of the runtime. A hold works in turns: take what came in, feed the replay, write everything the suspension
decided in one guarded batch, feed what was committed, begin the attempts. After a refusal (design §3) nothing is
resent: the log is extended, results of finished steps are settled alone, and a new replay decides again, twice; then
the run goes back to the queue. Writing, with its refusals, is ``writer.py``; what a turn does is ``turn.py``; the live
replay is ``live.py``; the pauses between turns are ``resting.py``.

The interleaving that the guard is for: (1) we load up to 9 and decide "the deadline passed"; (2) a value for the
hook commits as 10; (3) our wait_completed arrives with the snapshot of 9 and is refused; (4) the replay
of 10 takes the value. Proof: tests/worker/test_refusals.py.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Final

import structlog

from holdfast.errors import (
    HoldfastError,
    LeaseLost,
    NotDeterministic,
    NotRegistered,
    ReplayDivergence,
    RunNotFound,
    RunTerminal,
)
from holdfast.v1 import entity_pb2, event_pb2, queue_service_pb2
from runtime_service import spans
from runtime_service.names import BLOCKED_PREFIX
from runtime_service.replay.instance import Instance
from runtime_service.store import is_passing
from runtime_service.worker.attempts import Attempts
from runtime_service.worker.batch import Batch
from runtime_service.worker.children import Children
from runtime_service.worker.history import TERMINAL_TYPES, GapInLog, History
from runtime_service.worker.live import LiveReplay
from runtime_service.worker.outside_steps import OutsideSteps
from runtime_service.worker.resting import Bell, Rest
from runtime_service.worker.surroundings import Surroundings
from runtime_service.worker.turn import Turn
from runtime_service.worker.writer import Refused, Writer

log = structlog.get_logger(__name__)

#: Characters of the reason that a parked run shows.
_REASON_CHARS_MAX: Final = 480


class Hold:
    """One run held by this process. ``run()`` is its whole life; the other methods only tell it things."""

    def __init__(
        self,
        around: Surroundings,
        message: queue_service_pb2.LeasedMessage,
        history: History,
        instance: Instance | None = None,
        *,
        is_current: bool = False,
    ) -> None:
        self.run_id = history.run_id
        self.receipt = message.receipt
        self.history = history
        #: True once let go with an instance that equals the history, so that it may be kept.
        self.is_clean = False
        #: True once set aside as blocked.
        self.is_parked = False
        self._around = around
        self._bell = Bell(around)
        self._live = LiveReplay(around, history, instance)
        self._inbox: deque[event_pb2.Event] = deque()
        self._outcomes: deque[event_pb2.Event] = deque()
        self._is_current = is_current
        self._is_loaded = is_current
        self._has_lease = True
        self._is_stopping = False
        self._wants_slot = False
        self._refusals = 0
        self._attempts = Attempts(around, history, self._report)
        self._children = Children(around, self._bell.ring)
        self._outside = OutsideSteps(around, history, self.missed)
        self._writer = Writer(around, history, self.receipt)
        self._rest = Rest(around, self._attempts, self._outside, self._bell)

    @property
    def instance(self) -> Instance | None:
        """The live replay, as far as there is one."""
        return self._live.instance

    @property
    def will_see_end(self) -> bool:
        """Whether the end of the run is still to come to this hold, and so to whoever follows the run.

        Not before its log was read: a wake message may be left over from before the run ended.
        """
        is_ended = self.history.is_ended or any(event.type in TERMINAL_TYPES for event in self._inbox)
        return self._is_loaded and not is_ended

    # What the surroundings tell it: plain calls, on the event loop.

    def push(self, event: event_pb2.Event) -> None:
        """Take an event that the store pushed; our own come back too and are passed over."""
        self._inbox.append(event)
        self._bell.ring()

    def ended(self, run: entity_pb2.Run) -> None:
        """Its own end, or one that came as an event as well: nothing to do."""

    def missed(self) -> None:
        """The push was interrupted: the log has to be read."""
        self._is_current = False
        self._bell.ring()

    def lose_lease(self) -> None:
        """The lease is gone: stop, and write nothing more."""
        self._has_lease = False
        self._bell.ring()

    def nudge(self) -> None:
        """Something outside changed (a slot is free, the process drains): look again."""
        self._bell.ring()

    def stop(self) -> None:
        """The process ends: cut the attempts off and give the run back now."""
        self._is_stopping = True
        self._bell.ring()

    # Its life.

    async def run(self) -> None:
        """Work on the run until it ends, waits for long, or is lost. Raises nothing for the run's own troubles."""
        try:
            await self._work()
        except LeaseLost as lost:
            log.info("lease lost", run_id=self.run_id, why=str(lost))
        except (RunTerminal, RunNotFound):
            await self._settle_message()
        except (ReplayDivergence, NotDeterministic, NotRegistered) as error:
            await self._park(f"{type(error).__name__}: {error}")
        except HoldfastError as error:
            await self._give_up(error)
        except Exception as error:
            log.exception("run blocked by an unexpected error", run_id=self.run_id)
            await self._park(f"internal error, see the runtime's log: {type(error).__name__}: {error}")
        finally:
            self._attempts.stop("the run is not held here any more")
            self._children.close()
            self._outside.close()
            self._around.slots.forget(self)
            # These lead back to the hold: without this its log would be in memory until the collector comes by.
            # Proof: tests/worker/test_letting_go.py.
            del self._attempts, self._outside, self._rest

    async def _work(self) -> None:
        await self._absorb()
        was_ended = self.history.is_ended
        while not self.history.is_ended:
            if not self._has_lease:
                raise LeaseLost(f"the lease of run {self.run_id} is lost")
            if batch := await self._take_turn():
                self._rest.moved()
                if not await self._write(batch):
                    return
            else:
                # A workflow may call a step off and decide nothing else; nothing is written then.
                self._cancel_unwanted()
                if not await self._pause():
                    return await self._let_go()
            await self._absorb()
        if not was_ended:
            spans.run_ended(self.history.events[0], self.history.events[-1])
        self._live.drop()
        await self._settle_message()

    async def _absorb(self) -> None:
        """Take in what others wrote: pushed events, or the log itself when the push has a gap."""
        held_seq = self.history.seq
        pushed = list(self._inbox)
        self._inbox.clear()
        try:
            self.history.extend(pushed)
        except GapInLog:
            self._is_current = False
        if not self._is_current:
            self._is_current = True
            self.history.extend(await self._around.store.events_after(self.run_id, self.history.seq))
            self._is_loaded = True
        if new := self.history.events[held_seq:]:
            self._rest.moved()
            await self._live.deliver(new)

    async def _take_turn(self) -> Batch:
        self._wants_slot = False
        instance = await self._live.needed()
        self._outside.follow(instance.open_steps().values())
        turn = Turn(
            history=self.history,
            instance=instance,
            outcomes=self._outcomes,
            left_over=self._live.left_over,
            is_running=self._attempts.running,
            now_ms=self._around.clock(),
            runtime_id=self._around.options.runtime_id,
            public_url=self._around.options.public_url,
            outside=self._outside,
            take_slot=self._take_slot,
            answers=await self._children.answers(instance.open_steps().values()),
            is_draining=self._around.is_draining,
            forgiven=self._around.forgiven_steps(self.run_id),
        )
        try:
            return turn.take()
        except BaseException:
            # What the attempts left behind outlives a replay that stops at it: ``_park`` writes it alone.
            self._outcomes.extendleft(reversed(turn.batch.outcomes))
            self._release(turn.batch)
            raise

    async def _write(self, batch: Batch) -> bool:
        """Write a batch and go on from it; False when the run was handed back to the queue."""
        try:
            following = await self._writer.write(batch)
        except Refused:
            self._release(batch)
            self._live.drop()
            return await self._after_refusal()
        except BaseException:
            # The store takes nothing of it: what attempts left behind is for ``_park`` to write alone.
            self._outcomes.extendleft(reversed(batch.outcomes))
            self._release(batch)
            raise
        if batch.is_guarded:
            self._refusals = 0
        # Their starts are in the log: they begin whatever the replay does next, which may stop at what it is told.
        self._begin(batch)
        if following is None or self._around.options.replay_always:
            self._live.drop()
        await self._live.deliver(following or (), are_own=True)
        self._cancel_unwanted()
        if batch.starts:
            await _let_bodies_run()
        return True

    def _begin(self, batch: Batch) -> None:
        now_ms = self._around.clock()
        for start in batch.starts:
            self._attempts.begin(start, now_ms)

    def _cancel_unwanted(self) -> None:
        if self.instance is not None:
            self._attempts.cancel_unwanted(list(self.instance.open_steps().values()))

    async def _after_refusal(self) -> bool:
        """Decide again, at most ``rederive_max`` times in a row; then queue a fresh replay and let go.

        While attempts run here the run is kept: letting go would run those steps a second time.
        """
        self._refusals += 1
        if self._refusals <= self._around.options.rederive_max or self._attempts.running:
            return True
        await self._around.store.wake(self.run_id, self.history.wake_queue)
        await self._settle_message()
        return False

    async def _pause(self) -> bool:
        """Wait for something to happen; False when there is nothing to wait for here."""
        assert self.instance is not None
        return not self._is_stopping and await self._rest.take(self.instance, wants_slot=self._wants_slot)

    # Its ends.

    async def _let_go(self) -> None:
        """Give the run up with nothing lost: a fact that came in meanwhile has its own wake message waiting.

        The lease and the next timer are one message, so there is no moment in which neither exists.
        """
        due_ms = None
        if self.instance is not None:
            due_ms = self._rest.next_due_ms(self.instance, wants_slot=self._wants_slot)
        if self._is_stopping or self._around.is_draining:
            await self._around.store.give_back(self.receipt, delay_ms=0)
        elif due_ms is not None:
            await self._around.store.give_back(self.receipt, delay_ms=due_ms - self._around.clock())
        else:
            await self._around.store.acknowledge(self.receipt)
        self.is_clean = self.instance is not None

    async def _park(self, reason: str) -> None:
        """Set the run aside until code is fixed: nothing fails, nothing is written but what attempts still finish."""
        self.is_parked = True
        self._live.drop()
        while self._attempts.running and self._has_lease and not self._is_stopping:
            await self._bell.heard()
        await self._writer.settle(self._outcomes)
        log.warning("run blocked", run_id=self.run_id, reason=reason)
        await self._around.store.give_back(
            self.receipt,
            delay_ms=self._around.blocked_delay_ms(self.run_id),
            reason=BLOCKED_PREFIX + reason[:_REASON_CHARS_MAX],
        )

    async def _give_up(self, error: HoldfastError) -> None:
        if is_passing(error):
            # The store is away: the run is given back by the end of its lease. Never a failed run.
            log.warning("run given up for now", run_id=self.run_id, error=str(error))
        else:
            await self._park(f"{type(error).__name__}: {error}")

    async def _settle_message(self) -> None:
        if not self._writer.has_acknowledged:
            await self._around.store.acknowledge(self.receipt)

    def _take_slot(self) -> bool:
        if self._around.slots.take():
            return True
        self._wants_slot = True
        self._around.slots.tell_when_free(self, self.nudge)
        return False

    def _release(self, batch: Batch) -> None:
        for _ in batch.starts:
            self._around.slots.give_back()

    def _report(self, event: event_pb2.Event) -> None:
        self._outcomes.append(event)
        self._bell.ring()


async def _let_bodies_run() -> None:
    """Give the attempts that just began two turns of the event loop: one for the body, one for telling its result.

    The results of bodies that end at once are then in the very next turn, and one that finds nothing is saved.
    """
    await asyncio.sleep(0)
    await asyncio.sleep(0)
