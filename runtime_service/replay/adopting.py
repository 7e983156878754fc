"""Exchanging originals for guarded functions wherever the user's modules took them before anybody could replace them.

``from time import time`` binds a name, ``def stamp(clock=time.time)`` a default argument, a ``default_factory`` a
cell of the ``__init__`` that is made of it, ``clock = staticmethod(time.time)`` an attribute of a class. Owns the walk
over modules, classes and functions of the user's, and over nothing else: what a module imported is not its own.
A runtime installs the guard before it loads modules and needs none of this; programs and tests that imported the
workflow first do. The guard itself is in ``guard.py``. Proof: tests/replay/test_adopting.py.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from types import BuiltinMethodType, FunctionType, MethodType
from typing import Any, Final

from runtime_service.replay.source import is_users_file

#: id of an original → its guarded function. The originals live as long as the process.
Guarded = Mapping[int, Callable[..., Any]]

#: id of a namespace that was gone through → its size then. Modules imported after the guard bind guarded names.
_adopted: Final[dict[int, int]] = {}

#: How many modules there were when they were last gone through.
_looked_at: Final = {"modules": 0}


def adopt(names: dict[str, Any], guarded: Guarded) -> None:
    """Exchange originals in the module that defines a workflow and in every other module of the user's.

    Cheap when nothing was imported since. Idempotent.
    """
    _adopt_module(names, guarded)
    if len(sys.modules) != _looked_at["modules"]:
        _looked_at["modules"] = len(sys.modules)
        for module in list(sys.modules.values()):
            if is_users_file(getattr(module, "__file__", None)):
                _adopt_module(vars(module), guarded)


def _adopt_module(names: dict[str, Any], guarded: Guarded) -> None:
    if _adopted.get(id(names)) == len(names):
        return
    _adopted[id(names)] = len(names)
    home = names.get("__name__")
    for name, value in list(names.items()):
        replacement = _replacement(value, guarded)
        if replacement is not None:
            names[name] = replacement
        elif getattr(value, "__module__", None) == home:
            _adopt_value(value, guarded)


def _replacement(value: Any, guarded: Guarded) -> Callable[..., Any] | None:
    """Return what stands for an original, None for anything else. ``datetime.now`` is another object at each look."""
    if isinstance(value, BuiltinMethodType) and isinstance(value.__self__, type):
        now = getattr(value.__self__, value.__name__)
        return now if isinstance(now, MethodType) else None
    return guarded.get(id(value))


def _adopt_value(value: Any, guarded: Guarded) -> None:
    """Look into a function or class that the module itself defines; decorated ones lead to theirs."""
    for inner in (value, getattr(value, "__wrapped__", None), getattr(value, "function", None)):
        if isinstance(inner, FunctionType):
            _adopt_function(inner, guarded)
        elif isinstance(inner, type):
            _adopt_class(inner, guarded)


def _adopt_function(function: FunctionType, guarded: Guarded) -> None:
    defaults = function.__defaults__ or ()
    replaced = tuple(_replacement(it, guarded) or it for it in defaults)
    if any(new is not old for new, old in zip(replaced, defaults, strict=True)):
        function.__defaults__ = replaced
    by_name = function.__kwdefaults__ or {}
    for name, value in by_name.items():
        by_name[name] = _replacement(value, guarded) or value
    for cell in function.__closure__ or ():
        with suppress(ValueError):  # a name that is not bound yet
            cell.cell_contents = _replacement(cell.cell_contents, guarded) or cell.cell_contents


def _adopt_class(owner: type, guarded: Guarded) -> None:
    for name, value in list(vars(owner).items()):
        inner = value.__func__ if isinstance(value, staticmethod) else value
        replacement = _replacement(inner, guarded)
        if replacement is not None:
            setattr(owner, name, replacement if inner is value else staticmethod(replacement))
        elif isinstance(inner, FunctionType):
            _adopt_function(inner, guarded)
        elif isinstance(inner, type) and inner.__module__ == owner.__module__:
            _adopt_class(inner, guarded)
    _adopt_model(owner, guarded)


def _adopt_model(owner: Any, guarded: Guarded) -> None:
    """Build the validator of a pydantic model anew when one of its fields makes its default with an original."""
    fields, rebuild = vars(owner).get("__pydantic_fields__"), getattr(owner, "model_rebuild", None)
    if not isinstance(fields, dict) or rebuild is None:
        return
    found = [(field, new) for field in fields.values() if (new := _replacement(field.default_factory, guarded))]
    for field, replacement in found:
        field.default_factory = replacement
    if found:
        rebuild(force=True)
