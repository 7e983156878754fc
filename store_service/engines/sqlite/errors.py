"""Why a SQLite file cannot be opened: what only this engine knows of ``engines/errors.py``.

A running engine never raises these; it answers with a ``holdfast.refusal.Refusal``.
"""

from __future__ import annotations

from store_service.engines.errors import DatabaseUnusable, ForeignDatabase, SchemaTooNew

__all__ = ["DatabaseInUse", "DatabaseUnusable", "ForeignDatabase", "SchemaTooNew"]


class DatabaseInUse(DatabaseUnusable):
    """Another engine owns the file; ``pid`` is its process, None when it did not say."""

    def __init__(self, path: str, pid: int | None) -> None:
        owner = f"process {pid}" if pid else "another process"
        super().__init__(path, f"database {path} is in use by {owner}; stop that store or choose another file")
        self.pid = pid
