"""Why a database cannot be opened.

Owns the errors that ``open_sqlite`` raises for whoever starts the process; each message names the file and what
to do. What a running engine answers to a request is a ``holdfast.refusal.Refusal``, never one of these.
"""

from __future__ import annotations


class DatabaseUnusable(RuntimeError):
    """The file cannot be opened as a store; ``path`` says which. The file was not changed."""

    def __init__(self, path: str, message: str) -> None:
        super().__init__(message)
        self.path = path


class DatabaseInUse(DatabaseUnusable):
    """Another engine owns the file; ``pid`` is its process, None when it did not say."""

    def __init__(self, path: str, pid: int | None) -> None:
        owner = f"process {pid}" if pid else "another process"
        super().__init__(path, f"database {path} is in use by {owner}; stop that store or choose another file")
        self.pid = pid


class ForeignDatabase(DatabaseUnusable):
    """The file holds something else than a holdfast store."""

    def __init__(self, path: str, found: str) -> None:
        super().__init__(path, f"{path} is not a holdfast database ({found}); choose another file")


class SchemaTooNew(DatabaseUnusable):
    """The file was written by a newer holdfast; there is no way back, forward-only migrations."""

    def __init__(self, path: str, found: int, newest: int) -> None:
        super().__init__(
            path,
            f"database {path} has schema {found}, this version knows schemas up to {newest}; "
            "run the newer holdfast that wrote it",
        )
        self.found = found
        self.newest = newest
