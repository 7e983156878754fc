"""Runs mutants: each in a fork of a process that has imported everything, with the tests that can see it.

Owns the way of a mutant into a process. A change inside a function is put into the live function, as its code, so
that whoever imported it before has it too. A change outside (a table, a default) needs its module, and everything that
imports it, to be imported anew, which the fork does. A mutant is killed when a test fails, or when it hangs. Must never
change a file.
"""

from __future__ import annotations

import ast
import importlib
import importlib.abc
import importlib.machinery
import inspect
import os
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from types import CodeType, FunctionType, ModuleType
from typing import Any, Final

import pytest

from tests.mutation.cover import CoverMap
from tests.mutation.operators import Mutant, mutants_of

#: Seconds until a mutant that still runs counts as killed, beyond the time of its tests.
HANGS_SECONDS: Final = 60

#: Tests of the first look: most mutants die there, and fewer tests are found faster.
_FIRST_LOOK: Final = 30

#: What depends on the packages under test, and is imported anew with a change outside of functions.
_DEPENDENTS: Final = ("store_service", "runtime_service", "tests", "holdfast.testing", "holdfast.pytest_plugin")

_PYTEST: Final = ("-x", "-q", "-p", "no:cacheprovider")


@dataclass(frozen=True, slots=True)
class Result:
    """What became of a mutant. ``outcome`` is killed, hung, survived, or unseen (no test runs the line)."""

    module: str
    what: str
    outcome: str
    seconds: float

    def as_dict(self) -> dict[str, object]:
        return asdict(self)


def modules_of(package: str) -> list[str]:
    """Return the modules of a package under test."""
    return [f"{package}.{path.stem}" for path in sorted(directory_of(package).glob("*.py")) if path.stem != "__init__"]


def directory_of(package: str) -> Path:
    return Path(*package.split(".")).resolve()


def source_of(module: str) -> tuple[Path, ast.Module]:
    path = Path(*module.split(".")).with_suffix(".py").resolve()
    return path, ast.parse(path.read_text())


def import_everything(cover: CoverMap) -> None:
    """Import the tests and what they need, for the forks of this process."""
    files = sorted({test.partition("::")[0] for test in cover.seconds})
    with open(os.devnull, "w") as silence:
        kept, sys.stdout = sys.stdout, silence
        pytest.main(["--collect-only", "-q", "-p", "no:cacheprovider", *files])
        sys.stdout = kept


def run_mutant(module: str, mutant: Mutant, cover: CoverMap, tests_seconds: float) -> Result:
    """Run one mutant to its end, with tests that take as long together as ``tests_seconds`` at most."""
    tests = cover.tests_of(module, mutant.line, tests_seconds)
    began = time.monotonic()
    outcome = "survived" if tests else "unseen"
    # What an import made with a changed function, a table for instance, is only changed by an import.
    for chosen, is_anew in ((tests[:_FIRST_LOOK], False), (tests[_FIRST_LOOK:], False), (tests, True)):
        if chosen and outcome == "survived":
            outcome = _in_a_fork(module, mutant, chosen, is_anew)
    return Result(module, mutant.what, outcome, round(time.monotonic() - began, 2))


def _in_a_fork(module: str, mutant: Mutant, tests: Sequence[str], is_anew: bool) -> str:
    pid = os.fork()
    if pid == 0:
        _live_and_die(module, mutant, tests, is_anew)
    until = time.monotonic() + HANGS_SECONDS
    while time.monotonic() < until:
        ended, status = os.waitpid(pid, os.WNOHANG)
        if ended:
            return "survived" if os.waitstatus_to_exitcode(status) == 0 else "killed"
        time.sleep(0.01)
    os.killpg(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    return "hung"


def _live_and_die(module: str, mutant: Mutant, tests: Sequence[str], is_anew: bool) -> None:
    """The child: never returns."""
    status = 99
    try:
        os.setpgid(0, 0)
        silence = os.open(os.devnull, os.O_RDWR)
        for stream in (0, 1, 2):
            os.dup2(silence, stream)
        path, tree = source_of(module)
        next(it for it in mutants_of(tree) if it.what == mutant.what).apply()
        code = compile(ast.fix_missing_locations(tree), str(path), "exec")
        if is_anew or not _put_into_function(sys.modules[module], code):
            _import_anew(module, path, code)
        status = int(pytest.main([*_PYTEST, *tests]))
    finally:
        os._exit(status)


def _put_into_function(module: ModuleType, changed: CodeType) -> bool:
    """Give the live function that was changed its new code; False when the change is in no function's code."""
    codes = {(code.co_qualname, code.co_firstlineno): code for code in _codes_in(changed)}
    is_put = False
    for function in _functions_of(module):
        old = function.__code__
        new = codes.get((old.co_qualname, old.co_firstlineno))
        if new is not None and new != old and new.co_freevars == old.co_freevars:
            function.__code__ = new
            is_put = True
    return is_put


def _codes_in(code: CodeType) -> Iterator[CodeType]:
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield constant
            yield from _codes_in(constant)


def _functions_of(module: ModuleType) -> Iterator[FunctionType]:
    for value in vars(module).values():
        yield from _functions_in(value, module.__name__)


def _functions_in(value: Any, module: str) -> Iterator[FunctionType]:
    if isinstance(value, type):
        if value.__module__ == module:
            for member in list(vars(value).values()):
                if not isinstance(member, type):
                    yield from _functions_in(member, module)
    elif isinstance(value, property):
        yield from (it for it in (value.fget, value.fset) if isinstance(it, FunctionType))
    elif isinstance(value, staticmethod | classmethod):
        yield from _functions_in(value.__func__, module)
    elif callable(value):
        function = inspect.unwrap(value)
        if isinstance(function, FunctionType) and function.__module__ == module:
            yield function


def _import_anew(module: str, path: Path, code: CodeType) -> None:
    for name in list(sys.modules):
        if name.startswith(_DEPENDENTS) and not name.startswith("tests.mutation"):
            del sys.modules[name]
    sys.meta_path.insert(0, _Changed(module, path, code))


class _Changed(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Finds the changed module in place of its file."""

    def __init__(self, module: str, path: Path, code: CodeType) -> None:
        self._module = module
        self._path = path
        self._code = code

    def find_spec(self, name: str, path: object = None, target: object = None) -> importlib.machinery.ModuleSpec | None:
        if name != self._module:
            return None
        return importlib.machinery.ModuleSpec(name, self, origin=str(self._path))

    def exec_module(self, module: ModuleType) -> None:
        module.__file__ = str(self._path)
        exec(self._code, module.__dict__)
