"""Dropping a suspended workflow without running any of its code.

A coroutine that is suspended when nobody holds it any more is finalized by ``close()``, which throws GeneratorExit into
it: ``finally`` blocks, ``except`` clauses and ``__aexit__`` would run user side effects because a run was put aside
(hazard 31). CPython skips the finalizer of an object whose "already finalized" bit is set, and frees its frame all
the same. So the bit is set in every coroutine and generator that the instance holds.

The bit lives in the header of the garbage collector, right before the object. The self-test at import checks that this
interpreter works that way; on one that does not, what cannot be dropped is kept for ever and counted in ``kept``.
Proof: tests/replay/test_replay_eviction.py.
"""

from __future__ import annotations

import ctypes
import gc
import platform
import sys
import sysconfig
from collections.abc import Generator, Iterable
from contextvars import Context
from types import AsyncGeneratorType, CodeType, CoroutineType, FunctionType, GeneratorType, ModuleType
from typing import Any, Final

from runtime_service.replay.limits import EVICTION_OBJECTS_MAX

_SUSPENDABLE: Final = (CoroutineType, GeneratorType, AsyncGeneratorType)

#: Never searched: what they lead to is shared with the rest of the process.
_SHARED: Final = (ModuleType, type, CodeType, Context)

#: Packages whose objects are the service's and not the workflow's.
_SERVICE: Final = frozenset(
    ("runtime_service", "holdfast", "pydantic", "pydantic_core", "google", "grpc", "structlog", "logging")
)

#: Classes of those packages that belong to the workflow all the same: they stand in its frames.
_WORKFLOWS_OWN: Final = frozenset(
    ("runtime_service.replay.order", "runtime_service.replay.timers", "holdfast.primitives")
)

#: Offset of the collector's word that holds the bit, and the bit.
_WORD_OFFSET: Final = ctypes.sizeof(ctypes.c_size_t)
_FINALIZED: Final = 1

#: What could not be dropped on an interpreter without the bit.
kept: Final[list[object]] = []


def lay_to_rest(held: Iterable[object]) -> None:
    """Make sure that nothing reachable from ``held`` runs code of the workflow when it is freed."""
    suspended = _suspended(held)
    if IS_SUPPORTED:
        for item in suspended:
            _mark_finalized(item)
    else:
        kept.extend(suspended)


def _suspended(held: Iterable[object]) -> list[object]:
    """Find the coroutines and generators, breadth first, up to a bounded number of objects."""
    found: list[object] = []
    level = list(held)
    seen = {id(item) for item in level}
    while level and len(seen) < EVICTION_OBJECTS_MAX:
        found.extend(item for item in level if isinstance(item, _SUSPENDABLE))
        following: list[object] = []
        for item in _referents(level):
            if id(item) not in seen and _is_searched(item):
                seen.add(id(item))
                following.append(item)
        level = following
    return found


def _referents(level: list[object]) -> Iterable[object]:
    for item in level:
        if isinstance(item, FunctionType):
            # Not its globals: only what it closes over is the workflow's.
            yield from item.__closure__ or ()
        else:
            yield from gc.get_referents(item)


def _is_searched(item: object) -> bool:
    if not gc.is_tracked(item) or isinstance(item, _SHARED):
        return False
    module = type(item).__module__
    if not isinstance(module, str) or module in _WORKFLOWS_OWN:
        return True
    return module.partition(".")[0] not in _SERVICE


def _mark_finalized(item: object) -> None:
    ctypes.c_size_t.from_address(id(item) - _WORD_OFFSET).value |= _FINALIZED


def _works_here() -> bool:
    if platform.python_implementation() != "CPython" or sysconfig.get_config_var("Py_GIL_DISABLED"):
        return False
    ran: list[str] = []

    def body() -> Generator[None, Any, None]:
        try:
            yield
        finally:
            ran.append("finally")

    suspended = body()
    next(suspended)
    if gc.is_finalized(suspended):
        return False
    _mark_finalized(suspended)
    is_marked = gc.is_finalized(suspended)
    del suspended
    return is_marked and not ran


#: Whether this interpreter has the bit.
IS_SUPPORTED: Final = _works_here()

assert sys.maxsize > 2**32, "replay needs a 64-bit interpreter: task numbers are 64 bits wide"
