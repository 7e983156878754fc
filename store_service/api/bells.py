"""Bells: tell watches that there is something new to read.

Owns who watches what. A bell carries no events: after it rings the watch reads its next page itself, at its own pace,
so a slow watcher costs a slow watcher and nothing else, and there is no buffer to overflow. Rings come after the
commit, and the engine's reads include every acknowledged write, so what a ring is about can be read. Must never hold up
the engine. Read ``watch.py`` next.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from typing import Final

from store_service.engines.contract import DeletedNote, Engine, EventNote, MissedNotes, Note
from store_service.engines.stream_contract import StreamNote

#: Where the bells of watches over all runs hang.
ALL_RUNS: Final = ""


class Bell:
    """One watch's bell. It rings for events of ``kinds`` (empty: of any), for the end of its run, for ``stream``."""

    def __init__(self, kinds: Collection[int] = (), stream: str = "") -> None:
        self._kinds = frozenset(kinds)
        self._stream = stream
        self._rung = asyncio.Event()

    def tell(self, note: EventNote | DeletedNote | StreamNote) -> None:
        """Ring when the note is about something that the watch shows."""
        if isinstance(note, StreamNote):
            if note.name == self._stream:
                self.ring()
        elif (
            isinstance(note, DeletedNote) or note.terminal or not self._kinds or not self._kinds.isdisjoint(note.kinds)
        ):
            self.ring()

    def ring(self) -> None:
        self._rung.set()

    async def wait(self, seconds: float) -> bool:
        """Wait until it rings, at most ``seconds``; returns whether it did. A ring before the call counts."""
        try:
            async with asyncio.timeout(seconds):
                await self._rung.wait()
        except TimeoutError:
            return False
        self._rung.clear()
        return True


class Bells:
    """All bells of a server, hung up by run or over all runs."""

    def __init__(self, engine: Engine) -> None:
        self._hung: dict[str, set[Bell]] = {}
        self._stop_listening = engine.listen(self._take_notes)

    @contextmanager
    def hang(self, run_id: str, kinds: Collection[int] = (), stream: str = "") -> Iterator[Bell]:
        """Hang up a bell for a run, or for ``ALL_RUNS``, while the block lasts; for events of ``kinds`` only.

        With the name of a stream it rings for that stream's chunks too.
        """
        with self.hang_also(Bell(kinds, stream), run_id) as bell:
            yield bell

    @contextmanager
    def hang_also(self, bell: Bell, run_id: str) -> Iterator[Bell]:
        """Hang up a bell for another run as well, while the block lasts."""
        self._hung.setdefault(run_id, set()).add(bell)
        try:
            yield bell
        finally:
            bells = self._hung[run_id]
            bells.discard(bell)
            if not bells:
                del self._hung[run_id]

    def stop(self) -> None:
        """Stop listening to the engine."""
        self._stop_listening()

    def _take_notes(self, notes: Sequence[Note]) -> None:
        for note in notes:
            if isinstance(note, MissedNotes):
                for bell in set().union(*self._hung.values()):
                    bell.ring()
            elif isinstance(note, EventNote | DeletedNote | StreamNote):
                for name in (ALL_RUNS, note.run_id):
                    for bell in self._hung.get(name, ()):
                        bell.tell(note)
