"""`holdfast store` and `holdfast runtime`: the services, started in this process.

The only module of this package that reaches for a service, and only for its front door: the words after the
name go on untouched to `python -m store_service` or `python -m runtime_service`, which own their options and their
help. The other modules start services as processes, with the command lines built here.
"""

from __future__ import annotations

import runpy
import sys
from collections.abc import Sequence

import typer


def store(context: typer.Context) -> None:
    """Run the store: event logs, queue, streams. `holdfast store --help` lists its options."""
    _become("store", "store_service", context.args)


def runtime(context: typer.Context) -> None:
    """Run a runtime: executes workflows, serves clients. `holdfast runtime --help` lists its options."""
    _become("runtime", "runtime_service", context.args)


def store_command(*, listen: str, database: str) -> list[str]:
    """The command line of a store process."""
    return [sys.executable, "-m", "store_service", "--listen", listen, "--database", database]


def runtime_command(modules: Sequence[str], *, listen: str, store: str, options: Sequence[str] = ()) -> list[str]:
    """The command line of a runtime process."""
    return [sys.executable, "-m", "runtime_service", *modules, "--listen", listen, "--store", store, *options]


def _become(name: str, package: str, words: Sequence[str]) -> None:
    sys.argv = [f"holdfast {name}", *words]
    runpy.run_module(package, run_name="__main__", alter_sys=True)
