"""What a service writes to its log of an exception: its kind and place, without its message.

A message may quote what it was about: pydantic shows the input, a driver the row, a parser the text. Values and tokens
are never logged, so messages stay out, but for kinds that are known to quote nothing of the sort. Owns that choice;
the processes of both services log through it (``holdfast/serving.py``).
"""

from __future__ import annotations

import logging
import sqlite3
import sys
import traceback
from collections.abc import Iterator, MutableMapping
from typing import Any, Final

#: Their messages name files, constraints and limits, never a value.
_QUOTE_NOTHING: Final = (OSError, sqlite3.Error, RecursionError, MemoryError)

#: Causes of a cause that are told.
_CAUSES_MAX: Final = 5

#: Loggers of the standard library that speak of our calls and tasks; what workflows and steps log is their own.
_OF_LIBRARIES: Final = frozenset({"aiosqlite", "asyncio", "asyncpg", "concurrent", "grpc", "uvicorn"})


def describe_exceptions(_: Any, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Replace ``exc_info`` by text under ``exception``: a processor of structlog."""
    given = event.pop("exc_info", None)
    error = given if isinstance(given, BaseException) else sys.exc_info()[1] if given else None
    if error is not None:
        event["exception"] = _told_all(error)
    return event


class LibraryFormatter(logging.Formatter):
    """Formats records of logging; those of libraries under us lose what may quote a value.

    asyncio, for one, tells of a lost task with the text of its error in the middle of a line.
    """

    def format(self, record: logging.LogRecord) -> str:
        error = record.exc_info[1] if record.exc_info else None
        if error is None or record.name.partition(".")[0] not in _OF_LIBRARIES:
            return super().format(record)
        first_line = record.getMessage().partition("\n")[0]
        plain = logging.makeLogRecord({**record.__dict__, "msg": first_line, "args": None, "exc_info": None})
        return f"{super().format(plain)}\n{_told_all(error)}"


def _told_all(error: BaseException) -> str:
    return "\nbecause of ".join(map(_told, _chain(error)))


def _chain(error: BaseException) -> Iterator[BaseException]:
    cause: BaseException | None = error
    for _ in range(_CAUSES_MAX):
        if cause is None:
            return
        yield cause
        cause = cause.__cause__ or (None if cause.__suppress_context__ else cause.__context__)


def _told(error: BaseException) -> str:
    kind = f"{type(error).__module__}.{type(error).__qualname__}".removeprefix("builtins.")
    text = f"{kind}: {error}" if isinstance(error, _QUOTE_NOTHING) else kind
    return f"{text}\n{''.join(traceback.format_tb(error.__traceback__))}".rstrip()
