"""Why a database cannot be opened, whatever engine it belongs to.

Owns the errors that ``open_engine`` raises for whoever starts the process; each message names the database and what to
do. What a running engine answers to a request is a ``holdfast.refusal.Refusal``, never one of these. Errors that only
one engine knows are beside it (``sqlite/errors.py``).
"""

from __future__ import annotations


class DatabaseUnusable(RuntimeError):
    """The database cannot be opened as a store; ``path`` says which, without a password. It was not changed."""

    def __init__(self, path: str, message: str) -> None:
        super().__init__(message)
        self.path = path


class ForeignDatabase(DatabaseUnusable):
    """The database holds something else than a holdfast store."""

    def __init__(self, path: str, found: str) -> None:
        super().__init__(path, f"{path} is not a holdfast database ({found}); choose another one")


class SchemaTooNew(DatabaseUnusable):
    """The database was written by a newer holdfast; there is no way back, forward-only migrations."""

    def __init__(self, path: str, found: int, newest: int) -> None:
        super().__init__(
            path,
            f"database {path} has schema {found}, this version knows schemas up to {newest}; "
            "run the newer holdfast that wrote it",
        )
        self.found = found
        self.newest = newest
