"""Kills at places that no code of ours knows of: inside a system call, inside the body of a step.

Each is a `Fault` of ``tests/storms/services.py``, called in the child before it serves. System calls are counted by
strace (Debian's), which kills the process at the entry of the k-th one on the database or its WAL: whatever SQLite
was in the middle of, it stays in the middle. Read ``schedules.py`` for who uses them, ``tests/storms/faults.py`` for
kills around commits.
"""

from __future__ import annotations

import ctypes
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

from tests.storms.faults import When

#: What a store asks of the system while it writes: each is a place to die at.
Call = Literal["pwrite64", "fdatasync"]

HAS_STRACE: Final = shutil.which("strace") is not None

_SET_PTRACER: Final = 0x59616D61
_ATTACH_SECONDS: Final = 10.0


@dataclass(frozen=True, slots=True)
class Traced:
    """Lets strace do ``action`` at the ``count``-th ``call`` on a database or its WAL: a signal, or an error."""

    database: Path
    call: Call
    count: int
    action: str = "signal=SIGKILL"
    checkpoint_pages: int | None = None

    def __call__(self) -> None:
        if self.checkpoint_pages is not None:
            _checkpoint_every(self.checkpoint_pages)
        inject = f"inject={self.call}:{self.action}:when={self.count}"
        paths = ("-P", str(self.database), "-P", f"{self.database}-wal")
        words = ("strace", "-f", "-qq", "-o", os.devnull, *paths, "-e", f"trace={self.call}", "-e", inject)
        _attach([*words, "-p", str(os.getpid())])


@dataclass(frozen=True, slots=True)
class KilledInStep:
    """Kills a runtime inside the ``count``-th body of a step: as it begins, or as it has done its work."""

    count: int
    when: When

    def __call__(self) -> None:
        from runtime_service.steps import bodies, runner

        dying = _Dying(self.count, self.when)
        run_coroutine, run_plain = runner.run_coroutine, bodies._run_plain

        async def run_coroutine_or_die(*called: Any) -> Any:
            is_last = dying.begin()
            ending = await run_coroutine(*called)
            return dying.end(is_last, ending)

        def run_plain_or_die(call: Callable[[], Any], context: Any) -> Any:
            is_last = dying.begin()
            return dying.end(is_last, run_plain(call, context))

        runner.run_coroutine, bodies._run_plain = run_coroutine_or_die, run_plain_or_die


@dataclass(frozen=True, slots=True)
class KilledAtPostgresCommit:
    """Kills a store on PostgreSQL at its ``count``-th COMMIT: right before it is sent, or once it was answered."""

    count: int
    when: When

    def __call__(self) -> None:
        from store_service.engines.postgres.connection import Session

        dying = _Dying(self.count, self.when)
        ask: Callable[..., Any] = Session.ask

        def ask_or_die(self: Session, sql: str, *args: Any) -> Any:
            is_last = sql == "COMMIT" and dying.begin()
            return dying.end(is_last, ask(self, sql, *args))

        Session.ask = ask_or_die


@dataclass(frozen=True, slots=True)
class LosesACommit:
    """Answers as if the ``count``-th commit was made, and makes it not: what the judges must find."""

    count: int

    def __call__(self) -> None:
        from store_service.engines.sqlite.connection import Session

        execute: Callable[..., Any] = Session.execute
        left = self.count
        is_writing: set[int] = set()

        def execute_or_lose(self: Session, sql: str, *args: Any) -> Any:
            nonlocal left
            if sql == "BEGIN IMMEDIATE":
                is_writing.add(id(self))
            is_commit = sql == "COMMIT" and id(self) in is_writing
            left -= is_commit
            return execute(self, "ROLLBACK" if is_commit and left == 0 else sql, *args)

        Session.execute = execute_or_lose


class _Dying:
    def __init__(self, count: int, when: When) -> None:
        self._left = count
        self._when = when

    def begin(self) -> bool:
        self._left -= 1
        if self._left == 0 and self._when == "before":
            os.kill(os.getpid(), signal.SIGKILL)
        return self._left == 0

    def end(self, is_last: bool, ending: Any) -> Any:
        if is_last:
            os.kill(os.getpid(), signal.SIGKILL)
        return ending


def _checkpoint_every(pages: int) -> None:
    from store_service.engines.sqlite import connection

    connection._WRITER = (*connection._WRITER, f"PRAGMA wal_autocheckpoint = {pages}")


def _attach(command: list[str]) -> None:
    # Where only ancestors may trace (yama), the process itself can allow it.
    ctypes.CDLL(None).prctl(_SET_PTRACER, ctypes.c_ulong(-1), 0, 0, 0)
    subprocess.Popen(command, stdin=subprocess.DEVNULL)
    deadline = time.monotonic() + _ATTACH_SECONDS
    while "TracerPid:\t0\n" in Path("/proc/self/status").read_text():
        assert time.monotonic() < deadline, "strace did not attach"
        time.sleep(0.002)
