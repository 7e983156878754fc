"""`make storm-replicas`: kill and freeze replicas of both services until the sum is reached, and judge what is left.

    python -m tests.replicas [--kills N] [--seconds S] [--seed N] [--lease 1s] [--pause S]

Exit code 1 when anything was lost, doubled or stuck. ``--pause`` is the mean time between two disasters: with one that
is longer than a lease, most deaths are alone.
"""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path
from typing import Annotated

import typer

from tests.replicas.storm import Plan, storm
from tests.support.postgres import PostgresServer

_DAY_SECONDS = 86_400.0


def main(
    kills: Annotated[int, typer.Option(help="End after so many kills.")] = 2_000,
    seconds: Annotated[float, typer.Option(help="Or after so many seconds; 0 means never.")] = 0.0,
    seed: Annotated[int, typer.Option(help="Decides what happens, not when processes notice.")] = 1,
    lease: Annotated[str, typer.Option(help="Lease of the runtimes.")] = "1s",
    pause: Annotated[float, typer.Option(help="Mean seconds between two disasters.")] = 0.4,
) -> None:
    """Let the storm blow over 3 stores and 3 runtimes, and report."""
    plan = Plan(kills, seconds or _DAY_SECONDS, seed, lease, (pause * 0.5, pause * 1.5))
    print(f"seed {seed}, lease {lease}", flush=True)
    server = PostgresServer(autovacuum="on")
    try:
        with tempfile.TemporaryDirectory(prefix="holdfast-replicas-") as folder, server.database() as url:
            verdict = asyncio.run(storm(Path(folder), url, plan))
    finally:
        server.close()
    for line in verdict.lines():
        print(line)
    if verdict.failures:
        raise typer.Exit(1)


if __name__ == "__main__":
    typer.run(main)
