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
    RetryTooEarly,
    SnapshotAhead,
    StaleSnapshot,
)
from holdfast.v1 import event_pb2, store_service_pb2
from runtime_service.store import is_passing, new_request_id
from runtime_service.worker.batch import Batch, committed
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
        try:
            answer = await self._append(batch.request(self.history, self._receipt))
        except _REDERIVE as refusal:
            self._around.counters.refused(self.history.run_id, _cause(refusal))
            await self._catch_up(refusal)
            await self.settle(batch.outcomes)
            raise Refused from refusal
        self.has_acknowledged = batch.ends_the_run
        own = [committed(sent, got) for sent, got in zip(batch.events, answer.events, strict=True)]
        return own[len(batch.fed) :] if await self._take(answer, own) else None

    async def settle(self, outcomes: Iterable[event_pb2.Event]) -> None:
        """Write facts alone, each without a guard; one that its step does not allow any more is dropped."""
        for event in outcomes:
            request = store_service_pb2.CreateEventsRequest(
                run_id=self.history.run_id,
                events=[event],
                held_receipts=[self._receipt],
                delta_after_seq=self.history.seq,
            )
            try:
                answer = await self._append(request)
            except _REDERIVE as refusal:
                log.info("result refused", run_id=self.history.run_id, step_id=event.correlation_id, why=str(refusal))
            else:
                await self._take(answer, [committed(event, answer.events[0])])

    async def _append(self, request: store_service_pb2.CreateEventsRequest) -> store_service_pb2.CreateEventsResponse:
        """Append, waiting for a store that is away: a finished step's result is worth the wait."""
        request.request_id = new_request_id()
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


def _cause(refusal: HoldfastError) -> str:
    return getattr(refusal, "cause", "") or str(refusal.reason)
