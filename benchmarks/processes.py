"""Starts a store and a runtime as two processes for the benchmarks, and reads the store's statement count."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True, slots=True)
class Services:
    """Two running processes. ``statements()`` counts the SQL statements that the store has executed."""

    store_address: str
    runtime_address: str
    store_pid: int
    runtime_pid: int
    statement_log: Path

    def statements(self) -> int:
        return int(self.statement_log.read_text() or 0)
