"""Exceptions as ``Failure`` messages, and back.

Owns the crossing of an exception through the log: its class by name, its text, its arguments as far as they are JSON,
and the chain of its causes, all within limits. What comes back is the original class when it can be imported and
rebuilt from its arguments, else RemoteError. Must never let a broken exception break the reporting of it.
"""

from __future__ import annotations

import asyncio
import builtins
import importlib
import json
import os
import sys
import traceback
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any, Final

from holdfast.adapters import adapter_of
from holdfast.errors import FatalError, HoldfastError, RemoteError, SerializationError
from holdfast.limits import (
    CAUSES_MAX,
    FAILURE_DETAILS_BYTES_MAX,
    FAILURE_MESSAGE_BYTES_MAX,
    FAILURE_TRACEBACK_BYTES_MAX,
)
from holdfast.loading import module_name
from holdfast.v1 import payload_pb2

#: Attribute of a rebuilt exception: the traceback text of the original.
_ORIGIN: Final = "__holdfast_origin__"

#: Directories whose frames say nothing to people: this package, the runtime beside it, the standard asyncio.
_HOME: Final = Path(__file__).parent
_INTERNAL: Final = tuple(
    f"{place}{os.sep}" for place in (_HOME, _HOME.with_name("runtime_service"), Path(asyncio.__file__).parent)
)


def to_failure(
    error: BaseException, *, category: payload_pb2.FailureCategory.ValueType = payload_pb2.FAILURE_CATEGORY_APPLICATION
) -> payload_pb2.Failure:
    """Build the Failure of an exception, with at most ten causes; ``category`` is that of the exception itself.

    Never raises, whatever the exception does in ``__str__``.
    """
    chain = list(_chain(error))
    failure = payload_pb2.Failure()
    place = failure
    for depth, link in enumerate(chain):
        _fill(place, link)
        place.category = category if depth == 0 else payload_pb2.FAILURE_CATEGORY_APPLICATION
        if depth + 1 < len(chain):
            place = place.cause
    return failure


def from_failure(failure: payload_pb2.Failure) -> BaseException:
    """Rebuild the exception of a Failure, its causes linked by ``__cause__``. Never raises.

    A class that was rebuilt has the original traceback text as a note, RemoteError has it as ``traceback``.
    """
    error = _rebuilt(failure) or RemoteError(failure.type, failure.message, failure.stack_trace)
    if failure.stack_trace and not isinstance(error, RemoteError):
        _keep_origin(error, failure.stack_trace)
    if failure.HasField("cause"):
        error.__cause__ = from_failure(failure.cause)
    return error


def type_name(error: BaseException) -> str:
    """Return the name of the class of an exception: bare for builtins, else with its module."""
    if isinstance(error, RemoteError):
        return error.type
    kind = type(error)
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{_home(kind)}.{kind.__qualname__}"


def _home(kind: type) -> str:
    # ``holdfast.StepFailed`` is what people import.
    is_ours = issubclass(kind, HoldfastError) and kind.__module__ == "holdfast.errors"
    return "holdfast" if is_ours else module_name(kind.__module__)


def _chain(error: BaseException) -> Iterator[BaseException]:
    seen: set[int] = set()
    link: BaseException | None = error
    while link is not None and id(link) not in seen and len(seen) <= CAUSES_MAX:
        yield link
        seen.add(id(link))
        link = _before(link)


def _before(error: BaseException) -> BaseException | None:
    """Return what led to an exception; for a group without a cause the first of the exceptions in it."""
    if error.__cause__ is None and isinstance(error, BaseExceptionGroup):
        first: BaseException = error.exceptions[0]
        return first
    return error.__cause__ or (None if error.__suppress_context__ else error.__context__)


def _fill(failure: payload_pb2.Failure, error: BaseException) -> None:
    failure.type = type_name(error)
    failure.message = _cut_end(
        error.message if isinstance(error, RemoteError) else _text(error), FAILURE_MESSAGE_BYTES_MAX
    )
    failure.stack_trace = _cut_start(_stack(error), FAILURE_TRACEBACK_BYTES_MAX)
    failure.non_retryable = isinstance(error, FatalError)
    details = _details(error)
    if details is not None:
        failure.details.text = details


def _keep_origin(error: BaseException, stack_trace: str) -> None:
    """Show where an exception was raised first, and keep it for the next crossing of the log."""
    error.add_note(f"Raised at:\n{stack_trace}".rstrip())
    setattr(error, _ORIGIN, stack_trace)


def _text(error: BaseException) -> str:
    try:
        return str(error)
    except Exception:
        return f"<{type(error).__name__} that cannot be shown>"


def _stack(error: BaseException) -> str:
    if isinstance(error, RemoteError):
        return error.traceback
    if origin := getattr(error, _ORIGIN, ""):
        return str(origin)
    try:
        frames = traceback.extract_tb(error.__traceback__)
        own = [frame for frame in frames if not frame.filename.startswith(_INTERNAL)]
        return "".join(traceback.format_list(own or frames)) if frames else ""
    except Exception:
        return ""


def _details(error: BaseException) -> str | None:
    """Return the arguments of an exception as JSON, None when they do not survive it."""
    if isinstance(error, RemoteError):
        return None
    args = [*error.args]
    try:
        text = adapter_of(Any).encode(args)
    except (SerializationError, ValueError):
        return None
    return text if len(text.encode()) <= FAILURE_DETAILS_BYTES_MAX and json.loads(text) == args else None


def _rebuilt(failure: payload_pb2.Failure) -> BaseException | None:
    kind = _class(failure.type)
    if kind is None or not failure.details.text:
        return None
    try:
        args = json.loads(failure.details.text)
        error = kind(*args)
    except Exception:
        return None
    # An exception that builds its text from more than its arguments came back as another one.
    if not isinstance(error, kind) or _cut_end(_text(error), FAILURE_MESSAGE_BYTES_MAX) != failure.message:
        return None
    return error


def _class(name: str) -> type[BaseException] | None:
    module, _, qualname = name.rpartition(".")
    found = getattr(builtins, name, None) if not module else _imported(module, qualname)
    return found if isinstance(found, type) and issubclass(found, BaseException) else None


def _imported(module: str, qualname: str) -> object:
    """Look a class up in its module; a class inside a class has a longer qualified name."""
    outer, _, rest = module.rpartition(".")
    try:
        home = _module(module)
    except (Exception, SystemExit):
        container = _imported(outer, rest) if outer else None
        return getattr(container, qualname, None)
    return getattr(home, qualname, None)


def _module(name: str) -> ModuleType:
    # The script that runs goes by the stem of its file; importing it again would make a second class.
    main = sys.modules["__main__"]
    return main if name == module_name("__main__") else sys.modules.get(name) or importlib.import_module(name)


def _cut_end(text: str, bytes_max: int) -> str:
    encoded = text.encode(errors="replace")
    return encoded.decode() if len(encoded) <= bytes_max else encoded[: bytes_max - 3].decode(errors="ignore") + "…"


def _cut_start(text: str, bytes_max: int) -> str:
    """Keep the end: the innermost frames are the ones that tell."""
    encoded = text.encode(errors="replace")
    return encoded.decode() if len(encoded) <= bytes_max else "…" + encoded[3 - bytes_max :].decode(errors="ignore")
