"""`make soak`: hours of steady load with a fault every half minute, and whether anything grew, got slower or was lost.

    python -m tests.soak [--seconds N] [--rate N] [--postgres] [--save]

Exit code 1 when a promise was not kept. ``--save`` writes JSON and a plot into benchmarks/results.
"""

from __future__ import annotations

import asyncio
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated, Final

import typer

from tests.soak.experiment import Plan, soak
from tests.soak.report import lines, write_json, write_plot
from tests.support.postgres import PostgresServer

RESULTS: Final = Path(__file__).parents[2] / "benchmarks" / "results"


def main(
    seconds: Annotated[float, typer.Option(help="How long.")] = 3600.0,
    rate: Annotated[float, typer.Option(help="Runs a second; 0: a share of what the machine can do.")] = 0.0,
    share: Annotated[float, typer.Option(help="The share of the capacity, measured first.")] = 0.5,
    fault_seconds: Annotated[float, typer.Option(help="From one fault to the next.")] = 30.0,
    sweep_seconds: Annotated[float, typer.Option(help="From one audit and deletion to the next.")] = 60.0,
    postgres: Annotated[bool, typer.Option(help="Two stores on PostgreSQL instead of one on a file.")] = False,
    shared: Annotated[bool, typer.Option(help="Others use this machine: latencies are shown and not judged.")] = False,
    seed: Annotated[int, typer.Option(help="Decides the faults.")] = 1,
    save: Annotated[bool, typer.Option(help="Write JSON and SVG into benchmarks/results.")] = False,
) -> None:
    """Soak store and runtimes, and judge."""
    plan = Plan(seconds, rate or None, share, fault_seconds, sweep_seconds, shared, seed)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="holdfast-soak-")))
        url = f"sqlite:///{folder / 'soak.db'}"
        if postgres:
            server = PostgresServer()
            stack.callback(server.close)
            url = stack.enter_context(server.database())
        found = asyncio.run(soak(folder, url, plan))
    for line in lines(found):
        print(line)
    if save:
        name = "soak-postgresql" if postgres else "soak"
        write_json(RESULTS / f"{name}.json", found)
        write_plot(RESULTS / f"{name}.svg", found)
    if any(it.is_kept is False for it in found.verdicts()):
        raise typer.Exit(1)


if __name__ == "__main__":
    typer.run(main)
