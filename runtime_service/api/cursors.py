"""Cursors of WatchRun: the store's cursor, and how far into the batch after it the caller has read.

The store gives one cursor a batch and WatchRun sends one event a message, so a caller that breaks off inside a batch
would see events twice with the store's cursor alone. A plain cursor of the store is accepted too. Pure.
"""

from __future__ import annotations

from typing import Final

_MARK: Final = "~"


class WatchPosition:
    """Where one watch stands. ``cursor`` is what the caller resumes with; ``store_cursor`` where the store resumes."""

    def __init__(self, store_cursor: str, seq: int = 0) -> None:
        self.store_cursor = store_cursor
        self.is_caught_up = False
        self._seq = seq

    @classmethod
    def read(cls, cursor: str) -> WatchPosition:
        """Read a caller's cursor. What is not ours is left to the store to judge."""
        store_cursor, mark, seq = cursor.rpartition(_MARK)
        return cls(store_cursor, int(seq)) if mark and seq.isdecimal() else cls(cursor)

    @property
    def cursor(self) -> str:
        return f"{self.store_cursor}{_MARK}{self._seq}" if self._seq else self.store_cursor

    def take(self, seq: int) -> bool:
        """Advance to an event; False when the caller has it already."""
        if seq <= self._seq:
            return False
        self._seq = seq
        return True

    def reach(self, store_cursor: str) -> None:
        """Advance to the end of a message of the store."""
        self.store_cursor, self._seq = store_cursor or self.store_cursor, 0 if store_cursor else self._seq
