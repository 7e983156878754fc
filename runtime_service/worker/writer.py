"""Writes the batches of one held run and brings its log up to date, whatever the store answers.

Owns what follows a refusal (design §3): the missed events are taken in, the results of finished steps are settled
alone and at once, and the refused decisions are never sent again. It decides nothing and knows no instance:
``hold.py`` drops its instance when told that the log is not what the instance has seen.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from typing import Final

import structlog

from holdfast.errors import (
    EntityExists,
    EntityNotFound,
    HoldfastError,
    IllegalTransition,
    LeaseLost,
    LimitExceeded,
    RetryTooEarly,
    RunNotFound,
    RunTerminal,
    SnapshotAhead,
    StaleSnapshot,
)
from holdfast.v1 import entity_pb2, event_pb2, store_service_pb2
from runtime_service.store import is_passing
from runtime_service.worker.batch import Batch, committed, kind_of
from runtime_service.worker.history import GapInLog, History
from runtime_service.worker.surroundings import Surroundings

log = structlog.get_logger(__name__)

#: What the log, as it now is, does not allow: decide again from it.
_REDERIVE: Final = (StaleSnapshot, IllegalTransition, EntityExists, EntityNotFound, RetryTooEarly)

#: Seconds that one write is tried while the store is away, before the run is left to its lease.
AWAY_SECONDS: Final = 600.0


class Refused(Exception):
    """The store refused the batch because of what else is in the log. The history is up to date again."""


class Writer:
    """The writes of one held run. At most one is in flight: a run never makes its own snapshot stale."""

    def __init__(self, around: Surroundings, history: History, receipt: str) -> None:
        self._around = around
        self._store = around.store
        self._receipt = receipt
        self.history = history
        self.has_acknowledged = False

    async def write(self, batch: Batch) -> Sequence[event_pb2.Event] | None:
        """Write a batch and take it into the history.

        Returns the committed decisions and starts, to be delivered to the instance; None when something else was in
        between, so that the instance has to be made anew. Raises Refused after a refusal that a new
        replay can mend, LeaseLost when the run is somebody else's now.
        """
        held_seq = self.history.seq
        try:
            answer = await self._append(batch.request(self.history, self._receipt))
        except HoldfastError as refusal:
            if not _can_be_mended(refusal):
                raise
            await self._catch_up(refusal)
            own = _find(batch.events, self.history.events[held_seq:])
            if not own:
                self._around.counters.refused(self.history.run_id, _cause(refusal))
                await self.settle(batch.outcomes)
                raise Refused from refusal
            # The answer was lost. What others wrote after it is in the history now too, and not in the instance.
            is_alone = own[0].seq == held_seq + 1 and own[-1].seq == self.history.seq
            return self._following(batch, own, is_straight=is_alone)
        own = [committed(sent, got) for sent, got in zip(batch.events, answer.events, strict=True)]
        is_straight = await self._take(answer, own)
        if batch.ends_the_run:
            run = _complete(answer.run, self.history.events[0], own[-1])
            self._around.feed.tell_ended(self._store.sealing.seal(run))
        return self._following(batch, own, is_straight=is_straight)

    def _following(
        self, batch: Batch, own: Sequence[event_pb2.Event], *, is_straight: bool
    ) -> Sequence[event_pb2.Event] | None:
        self.has_acknowledged = batch.ends_the_run
        self._around.hooks.note(own)
        return own[len(batch.fed) :] if is_straight else None

    async def settle(self, outcomes: Iterable[event_pb2.Event]) -> None:
        """Write facts alone, each without a guard; one that the store does not take is dropped, the others are not.

        Raises LeaseLost, RunTerminal, RunNotFound, and what passes.
        """
        for event in outcomes:
            request = store_service_pb2.CreateEventsRequest(
                run_id=self.history.run_id,
                events=[event],
                held_receipts=[self._receipt],
                delta_after_seq=self.history.seq,
            )
            try:
                answer = await self._append(request)
            except (LeaseLost, RunTerminal, RunNotFound):
                raise
            except HoldfastError as refusal:
                if is_passing(refusal):
                    raise
                log.info("result refused", run_id=self.history.run_id, step_id=event.correlation_id, why=str(refusal))
            else:
                await self._take(answer, [committed(event, answer.events[0])])

    async def _append(self, request: store_service_pb2.CreateEventsRequest) -> store_service_pb2.CreateEventsResponse:
        """Append, waiting for a store that is away: a finished step's result is worth the wait.

        Without a request id, which would cost every step a row: the repeat of a write whose answer was lost is
        refused, by ``state_seq`` or by the state of its step, and is then found in the log
        (``test_a_lost_reply_writes_nothing_twice``).
        """
        loop = asyncio.get_running_loop()
        until = loop.time() + AWAY_SECONDS
        while True:
            try:
                return await self._store.append(request)
            except HoldfastError as error:
                if not is_passing(error) or loop.time() > until or self._around.is_draining:
                    raise

    async def _take(self, answer: store_service_pb2.CreateEventsResponse, own: Sequence[event_pb2.Event]) -> bool:
        """Fold what lay between before the own events; True when nothing did."""
        try:
            between = self.history.extend(answer.interleaved.events)
            self.history.extend(own)
        except GapInLog as gap:
            # The delta did not fit, or the answer is the repeat of one that was lost: read what is missing.
            missing = await self._store.events_after(self.history.run_id, gap.seq)
            self.history.extend(event for event in missing if event.seq < own[0].seq)
            self.history.extend(own)
            return False
        return not between

    async def _catch_up(self, refusal: HoldfastError) -> None:
        if isinstance(refusal, SnapshotAhead):
            # The loaded log no longer exists (a store restored from a backup): begin from nothing.
            self.history.clear()
        missed = refusal.missed if isinstance(refusal, StaleSnapshot) else None
        try:
            self.history.extend(missed or await self._store.events_after(self.history.run_id, self.history.seq))
        except GapInLog as gap:
            self.history.extend(await self._store.events_after(self.history.run_id, gap.seq))


def _can_be_mended(refusal: HoldfastError) -> bool:
    """Tell whether a replay of the log as it is now decides something that the store may take.

    So it is when a run has too many attributes: what steps added at the same time was counted nowhere before.
    """
    is_of_attributes = isinstance(refusal, LimitExceeded) and refusal.limit == "run_attributes"
    return is_of_attributes or isinstance(refusal, _REDERIVE)


def _find(sent: Sequence[event_pb2.Event], new: Sequence[event_pb2.Event]) -> Sequence[event_pb2.Event]:
    """Return the committed events of a batch among ``new`` ones; none when it was not committed.

    A batch is one transaction, so its events lie together or nowhere.
    """
    said = [_mark(event) for event in sent]
    for begin in range(len(new) - len(sent) + 1):
        window = new[begin : begin + len(sent)]
        if [_mark(event) for event in window] == said:
            return window
    return []


def _mark(event: event_pb2.Event) -> tuple[int, str, str, int]:
    """Return what tells an event of ours from every other: its kind and entity, and who wrote it when."""
    return kind_of(event), event.correlation_id, event.writer, event.occur_time.ToNanoseconds()


def _complete(run: entity_pb2.Run, first: event_pb2.Event, last: event_pb2.Event) -> entity_pb2.Run:
    """Put the payloads that the answer leaves out into the run, from the events that hold them."""
    if first.run_created.HasField("input"):
        run.input.CopyFrom(first.run_created.input)
    if last.run_completed.HasField("output"):
        run.output.CopyFrom(last.run_completed.output)
    if last.HasField("run_failed"):
        run.failure.CopyFrom(last.run_failed.failure)
    return run


def _cause(refusal: HoldfastError) -> str:
    return getattr(refusal, "cause", "") or str(refusal.reason)
