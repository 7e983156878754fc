"""`make crash`: every way to crash, one line each, and the sum. Exit code 1 when anything was lost, doubled or stuck.

    python -m tests.crash [--nightly] [--seed N] [--only WORD]

Takes about seven minutes on two cores; ``--nightly`` adds a long schedule and many more random runs. Needs strace
for the schedules that kill inside system calls; without it they are left out, and the exit code is 2.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
from pathlib import Path
from typing import Annotated

import typer

from tests.crash.faults import HAS_STRACE
from tests.crash.mixed import crash_both
from tests.crash.outcome import Tally, report
from tests.crash.schedules import SCHEDULES, enumerate_places
from tests.support.postgres import PostgresServer

#: Lanes that work side by side: most of a crash is waiting for a lease to end.
LANES = 4

#: Runs that meet crashes at random places, without and with --nightly.
RANDOM_RUNS = {False: 200, True: 4_000}

_WRONG, _INCOMPLETE = 1, 2


def main(
    nightly: Annotated[bool, typer.Option(help="Every place, and many more random runs.")] = False,
    seed: Annotated[int, typer.Option(help="Decides the random crashes.")] = 1,
    only: Annotated[str, typer.Option(help="Only schedules whose name holds this.")] = "",
) -> None:
    """Crash the store and the runtime everywhere, and judge every run that lived through it."""
    with tempfile.TemporaryDirectory(prefix="holdfast-crash-") as folder:
        server = PostgresServer()
        try:
            tallies = asyncio.run(_all(Path(folder), server, nightly, seed, only))
        finally:
            server.close()
    for line in report(tallies):
        print(line)
    if any(it.failures for it in tallies):
        raise typer.Exit(_WRONG)
    if not HAS_STRACE:
        print("strace is missing: nothing was killed inside a system call", file=sys.stderr)
        raise typer.Exit(_INCOMPLETE)


async def _all(folder: Path, server: PostgresServer, nightly: bool, seed: int, only: str) -> list[Tally]:
    tallies: list[Tally] = []

    def told(tally: Tally) -> None:
        print(tally.line(), flush=True)
        tallies.append(tally)

    for number, schedule in enumerate(SCHEDULES):
        is_possible = (HAS_STRACE or not schedule.needs_strace) and (nightly or not schedule.is_long)
        if only in schedule.name and is_possible:
            told(await enumerate_places(schedule, _empty(folder, f"schedule{number}"), LANES, server=server))
    if only in "both killed at random":
        print(f"seed {seed}", flush=True)
        told(await crash_both(_empty(folder, "both"), LANES, RANDOM_RUNS[nightly], seed))
    return tallies


def _empty(folder: Path, name: str) -> Path:
    (folder / name).mkdir()
    return folder / name


if __name__ == "__main__":
    typer.run(main)
