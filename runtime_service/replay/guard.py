"""The guard around workflow bodies: clocks, randomness, files, sockets, threads and subprocesses refuse,
and so does the environment.

Active only on the thread that runs a turn of a replay and only while it does, so steps, the service and other threads
never notice. It lets its own work through (hazard 35): imports, tracebacks and log lines open files and read
clocks, and so does the runtime when it encodes values. The names are in ``guarded_names.py``.

A runtime puts it in place before it loads a module, so that whatever is imported after that binds guarded functions;
what the user's modules bound before is exchanged by ``adopting.py``.
Proof: tests/replay/test_replay_guard.py.
"""

from __future__ import annotations

import ctypes
import functools
import gc
import importlib
import os
import sys
import zoneinfo
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from threading import get_ident
from types import FrameType
from typing import Any, Final, NoReturn

from holdfast.errors import NotDeterministic
from runtime_service.replay import adopting
from runtime_service.replay.guarded_names import (
    AUDIT_EVENTS,
    AUDIT_FAMILIES,
    CLASS_METHODS,
    ENVIRONMENT,
    ENVIRONMENT_METHODS,
    FUNCTIONS,
    LET_THROUGH,
    PASSED_OVER,
    STEP,
    TRUSTED_CALLERS,
    UNLESS_GIVEN,
)
from runtime_service.replay.source import calling_line

#: Thread → whether the event it delivers has been seen before, so that what the body says is a repetition.
_turns: Final[dict[int, bool]] = {}

#: id of an original function → its guarded one, for ``adopt``. The originals live as long as the process.
_guarded: Final[dict[int, Callable[..., Any]]] = {}

#: Where the walk over frames ends: below it is the service.
_LOOP_MODULE: Final = "runtime_service.replay.loop"


def begin_turn(*, is_replayed: bool) -> bool | None:
    """Guard this thread from now on; with ``is_replayed`` what it says is dropped, see ``silence.py``.

    Returns what ``end_turn`` has to be given, in a ``finally``.
    """
    thread = get_ident()
    outer = _turns.get(thread)
    _turns[thread] = is_replayed
    return outer


def end_turn(outer: bool | None) -> None:
    """Let the guard be on this thread what it was before the turn."""
    if outer is None:
        del _turns[get_ident()]
    else:
        _turns[get_ident()] = outer


@contextmanager
def lifted() -> Iterator[None]:
    """Lift the guard from this thread until the block ends: for what the runtime lets a body do on purpose."""
    thread = get_ident()
    outer = _turns.pop(thread, None)
    try:
        yield
    finally:
        if outer is not None:
            _turns[thread] = outer


def is_in_turn() -> bool:
    """Whether this thread runs a turn of a replay."""
    return get_ident() in _turns


def is_repeating() -> bool:
    """Whether the turn that this thread runs repeats what was seen before."""
    return _turns.get(get_ident(), False)


def refuse(what: str, advice: str = STEP) -> NoReturn:
    """Raise NotDeterministic that names the user's line and says what to do instead."""
    raise NotDeterministic(f"{calling_line()}: {what} in a workflow body would not be the same in a replay: {advice}")


def adopt(names: dict[str, Any]) -> None:
    """Exchange originals that the user's modules took before the guard was in place; see ``adopting.py``."""
    adopting.adopt(names, _guarded)


@functools.cache
def install() -> None:
    """Put the guard in place, once per process."""
    for module_name, attributes in FUNCTIONS.items():
        module = importlib.import_module(module_name)
        for path, advice in attributes.items():
            _replace(module, path, f"{module_name}.{path}()", advice)
    for module_name, functions in UNLESS_GIVEN.items():
        module = importlib.import_module(module_name)
        for path, (position, advice) in functions.items():
            _replace(module, path, f"{module_name}.{path}() without arguments", advice, position)
    for method in ENVIRONMENT_METHODS:
        _replace(os, f"_Environ.{method}", "os.environ", ENVIRONMENT)
    for module_name, methods in CLASS_METHODS.items():
        for path, advice in methods.items():
            class_name, method = path.split(".")
            _replace_class_method(getattr(importlib.import_module(module_name), class_name), method, advice)
    sys.addaudithook(_audit)


def _replace(owner: Any, path: str, what: str, advice: str, pure_with: int | None = None) -> None:
    """Put a guarded function in place of one; with the argument at ``pure_with`` given, a call is let through."""
    *outer, last = path.split(".")
    for part in outer:
        owner = getattr(owner, part)
    original = getattr(owner, last, None)
    if original is None:
        return

    @functools.wraps(original)
    def guarded(*args: Any, **kwargs: Any) -> Any:
        if get_ident() in _turns and not _is_given(pure_with, args, kwargs) and _is_users_work(sys._getframe(1)):
            refuse(what, advice)
        return original(*args, **kwargs)

    setattr(owner, last, guarded)
    _guarded[id(original)] = guarded


def _is_given(position: int | None, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> bool:
    if position is None:
        return False
    given = args[position : position + 1] or tuple(kwargs.values())[:1]
    return bool(given) and given[0] is not None


def _replace_class_method(owner: type, method: str, advice: str) -> None:
    """Replace a class method of a C type in the type's own table: its attributes cannot be set from Python.

    A subclass in its place would not do: modules that have imported the type already keep the original, and
    ``type(value) is datetime`` would stop to hold.
    """
    original: Any = owner.__dict__[method]

    def guarded(cls: type, *args: Any, **kwargs: Any) -> Any:
        if get_ident() in _turns and _is_users_work(sys._getframe(1)):
            refuse(f"{owner.__name__}.{method}()", advice)
        return original.__get__(None, cls)(*args, **kwargs)

    table = gc.get_referents(owner.__dict__)[0]
    table[method] = classmethod(functools.wraps(original)(guarded))
    ctypes.pythonapi.PyType_Modified(ctypes.py_object(owner))


def _audit(event: str, args: tuple[Any, ...]) -> None:
    if get_ident() in _turns:
        what = AUDIT_EVENTS.get(event) or AUDIT_FAMILIES.get(event.partition(".")[0])
        if what is not None and not _is_time_zone(event, args) and _is_users_work(sys._getframe(1)):
            refuse(what)


def _is_time_zone(event: str, args: tuple[Any, ...]) -> bool:
    """Time zones are read from files, from C where no frame tells; what they say is the same in every process."""
    return event == "open" and isinstance(args[0], str) and args[0].startswith(zoneinfo.TZPATH or ("\0",))


def _is_users_work(caller: FrameType | None) -> bool:
    """Whether what is being done is done by the workflow and not by the runtime, an import or a log line."""
    doer = caller
    while doer is not None and _top(_module(doer)) in PASSED_OVER:
        doer = doer.f_back
    if doer is None or _top(_module(doer)) in TRUSTED_CALLERS:
        return False
    while caller is not None and _module(caller) != _LOOP_MODULE:
        module = _module(caller)
        if module in LET_THROUGH or _top(module) in LET_THROUGH:
            return False
        caller = caller.f_back
    return True


def _module(frame: FrameType) -> str:
    return str(frame.f_globals.get("__name__", ""))


def _top(module: str) -> str:
    return module.partition(".")[0]
