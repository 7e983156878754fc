"""Files that are read again when they change: keys, certificates, tokens.

Owns when to look. A file is looked at once a second at most, by its times and size, so that a call pays for nothing;
whoever replaces a secret needs no restart. What cannot be used after a change (half written, malformed, gone for a
moment) is told to the log once and the last good content stays: a slip in a rotation must not lock everybody out. Must
never log what is in a file.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final, Generic, TypeVar

import structlog

log = structlog.get_logger(__name__)

Content = TypeVar("Content")

#: Seconds between two looks at a file.
LOOK_SECONDS: Final = 1.0

_Stamp = tuple[tuple[int, int, int], ...]


class FileProblem(ValueError):
    """A file of secrets that cannot be used; the message names it and says what is wrong, and quotes nothing of it."""


class Watched(Generic[Content]):
    """What ``read`` makes of some files, made again when one of them has changed.

    ``read`` raises OSError or ValueError for files that cannot be used, with messages that may be logged. The first
    reading raises FileProblem.
    """

    def __init__(
        self,
        paths: Sequence[str | os.PathLike[str]],
        read: Callable[[], Content],
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._paths = [Path(path) for path in paths]
        self._read = read
        self._clock = clock
        self._looked = clock()
        self._stamp = self._stamp_now()
        #: Counts the contents, from 1.
        self.version = 1
        try:
            self._content = read()
        except (OSError, ValueError) as error:
            raise FileProblem(f"{self._names()} cannot be used: {told(error)}") from None

    def get(self) -> Content:
        """Return the newest good content."""
        now = self._clock()
        if now - self._looked >= LOOK_SECONDS:
            self._looked = now
            self._look()
        return self._content

    def _look(self) -> None:
        stamp = self._stamp_now()
        if stamp == self._stamp:
            return
        self._stamp = stamp
        try:
            self._content = self._read()
        except (OSError, ValueError) as error:
            log.error("a changed file cannot be used, its last good content stays", file=self._names(), why=told(error))
            return
        self.version += 1
        log.info("read again", file=self._names())

    def _names(self) -> str:
        return ", ".join(map(str, self._paths))

    def _stamp_now(self) -> _Stamp:
        return tuple(map(_stamp_of, self._paths))


def told(error: OSError | ValueError) -> str:
    """What went wrong, without the file's content."""
    return error.strerror or type(error).__name__ if isinstance(error, OSError) else str(error)


def _stamp_of(path: Path) -> tuple[int, int, int]:
    try:
        found = path.stat()
    except OSError:
        return (0, 0, 0)
    return (found.st_mtime_ns, found.st_size, found.st_ino)
