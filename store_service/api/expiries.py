"""Writing expiries when they are due: the one task of a store that acts by itself.

Owns when `rules.expiry.expire_due` is called: at the start, and when the next due time has come. It sleeps on an alarm
that commits set earlier (ExpiryNote); an idle store runs no statement for it. A database that refuses is tried again
after a pause. Must never write anything itself.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Final

import structlog

from holdfast.refusal import Refusal
from store_service.api.alarm import Alarm
from store_service.api.clock import Clock
from store_service.engines.contract import Engine, ExpiryNote, MissedNotes, Note, Transaction
from store_service.rules import expiry

log = structlog.get_logger(__name__)

#: Runs and hooks of one unit: bounds the time that other writes wait.
_UNIT_MAX: Final = 100

#: Milliseconds until an expiry is looked at again that another store was writing.
_LOOK_AGAIN_MS: Final = 20

#: Milliseconds until a refused or failed expiry is tried again.
_PAUSE_MS: Final = 1_000


class Expiries:
    """Expires runs and hooks in time. ``start`` before use, ``stop`` before the engine closes."""

    def __init__(self, engine: Engine, clock: Clock) -> None:
        self._engine = engine
        self._clock = clock
        self._is_due = asyncio.Event()
        self._alarm = Alarm(clock, self._is_due.set)
        self._stop_listening = engine.listen(self._take_notes)
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        # What fell due while no store ran is due now.
        self._is_due.set()
        self._task = asyncio.create_task(self._expire_for_ever(), name="store-expiries")

    async def stop(self) -> None:
        self._stop_listening()
        self._alarm.set(None)
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    def _take_notes(self, notes: Sequence[Note]) -> None:
        for note in notes:
            if isinstance(note, ExpiryNote):
                self._alarm.set_no_later_than(note.due_ms)
            elif isinstance(note, MissedNotes):
                self._is_due.set()

    async def _expire_for_ever(self) -> None:
        while True:
            await self._is_due.wait()
            self._is_due.clear()
            try:
                self._look_again_at(await self._expire_due())
            except Refusal as refusal:
                self._look_again_after(refusal)
            except Exception as error:
                # A bug in one run's expiry must not end the expiry of all others' for good.
                self._look_again_after(error)

    async def _expire_due(self) -> int | None:
        """Expire what is due; returns when the next is, None for never."""
        while True:
            now_ms = self._clock()
            count, next_ms = await self._engine.write(lambda tx, now_ms=now_ms: _expire(tx, now_ms))  # type: ignore[misc]
            if not count:
                return next_ms

    def _look_again_at(self, next_ms: int | None) -> None:
        if next_ms is not None:
            # What is due and was passed over is under another store's hands at this moment.
            self._alarm.set_no_later_than(max(next_ms, self._clock() + _LOOK_AGAIN_MS))

    def _look_again_after(self, error: Exception) -> None:
        log.error("expiry failed, next try follows", exc_info=error, pause_ms=_PAUSE_MS)
        self._alarm.set_no_later_than(self._clock() + _PAUSE_MS)


def _expire(tx: Transaction, now_ms: int) -> tuple[int, int | None]:
    count = expiry.expire_due(tx, now_ms, _UNIT_MAX)
    # Tokens kept beyond their hook are due as well, and nobody else lets them go.
    tx.forget_expired(now_ms, _UNIT_MAX)
    return count, tx.next_expiry_ms()
