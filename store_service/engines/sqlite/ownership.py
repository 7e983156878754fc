"""One process owns the file: an advisory lock beside it.

Several writing connections are inside the range of SQLite's WAL-reset bug (fixed in 3.51.3), and commit notes reach
only the process that commits; so a second store on a file is refused before it opens the database. The lock goes
with its file descriptor, hence with the process however it dies. The lock file is never removed: removing it would
let two processes each lock their own. Errors are in ``errors.py``.
"""

from __future__ import annotations

import fcntl
import os

from store_service.engines.sqlite.errors import DatabaseInUse, DatabaseUnusable

LOCK_SUFFIX = ".lock"


class Ownership:
    """Exclusive ownership of a database file, from construction until ``release``; ``path`` has no symbolic links.

    Raises DatabaseInUse when any engine, of this process too, owns the file; DatabaseUnusable when
    the directory is missing or the lock file cannot be written.
    """

    def __init__(self, path: str) -> None:
        self.path = path = os.path.realpath(path)
        directory = os.path.dirname(path)
        if not os.path.isdir(directory):
            raise DatabaseUnusable(path, f"directory {directory} does not exist; create it for database {path}")
        self._descriptor: int | None = _lock(path)

    def release(self) -> None:
        """Let the file go. Idempotent."""
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            os.close(descriptor)


def _lock(path: str) -> int:
    try:
        descriptor = os.open(path + LOCK_SUFFIX, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError as exc:
        raise DatabaseUnusable(path, f"cannot write {path + LOCK_SUFFIX}: {exc.strerror}") from exc
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        pid = _written_pid(descriptor)
        os.close(descriptor)
        raise DatabaseInUse(path, pid) from None
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
    return descriptor


def _written_pid(descriptor: int) -> int | None:
    text = os.pread(descriptor, 32, 0).strip()
    return int(text) if text.isdigit() else None
