"""What a store finds after the power came back, and whether that is allowed.

Owns one judgement: the files open as a store, SQLite finds them whole, they hold exactly what some commit left (never a
part of one), that commit is the last one whose caller was answered or the one that was on its way, and every log keeps
the laws. The files are opened with the SQLite of the real server, not the one that wrote them.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path

from store_service.engines.sqlite.connection import Session
from store_service.engines.sqlite.migration import known_migrations, migrate, schema_version
from store_service.engines.sqlite.reader import SqliteReader
from store_service.rules.audit import audit_runs
from tests.power.disk import Files
from tests.power.recording import Recorded, digest

#: The database among the files.
DATABASE = "holdfast.db"


class Judge:
    """Judges states of one recording in a folder of its own. ``judged`` counts them."""

    def __init__(self, recorded: Recorded, folder: Path) -> None:
        self.judged = 0
        self._recorded = recorded
        self._folder = folder
        self._audited: dict[str, list[str]] = {}

    def verdict(self, files: Files, place: int) -> list[str]:
        """Return what is wrong with the files that were left at a place of the journal; empty when all is well."""
        self.judged += 1
        for old in self._folder.iterdir():
            old.unlink()
        for name, body in files.items():
            (self._folder / name).write_bytes(body)
        connection = sqlite3.connect(self._folder / DATABASE, isolation_level=None)
        try:
            return list(self._findings(Session(connection), self._recorded.acknowledged(place)))
        except Exception as error:
            return [f"it does not open: {error!r}"]
        finally:
            connection.close()

    def _findings(self, session: Session, acknowledged: int) -> Iterator[str]:
        found_version = schema_version(session, DATABASE)
        if found_version < known_migrations()[-1].version:
            if acknowledged:
                yield f"the schema is {found_version}, after {acknowledged} commits"
            migrate(session, found_version)
            return
        if (whole := session.scalar("PRAGMA integrity_check")) != "ok":
            yield f"SQLite finds: {whole}"
        found = digest(session)
        allowed = self._recorded.states[max(0, acknowledged - 1) : acknowledged + 1]
        if found not in allowed:
            yield self._what_else(found, acknowledged)
        if found not in self._audited:
            audited = audit_runs(SqliteReader(session))
            self._audited[found] = [f"{it.run_id}: {text}" for it in audited for text in it.findings]
        yield from self._audited[found]

    def _what_else(self, found: str, acknowledged: int) -> str:
        if found not in self._recorded.states:
            return f"it holds what no commit left, after {acknowledged} commits"
        return f"it holds commit {self._recorded.states.index(found) + 1}, and {acknowledged} were acknowledged"
