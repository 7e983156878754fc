"""`make bench`: how near to its floors holdfast runs, on two real processes over a socket.

Every figure is a ratio of floors measured in the same run (a unary echo, a durable SQLite commit), so that it says the
same on a slow disk and on a fast one. Exits 1 when a ratio is above its target times ``--slack``.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil
from rich.console import Console
from rich.table import Table

from benchmarks.floors import commit_ms, echo_ms
from benchmarks.processes import Services, running_services
from holdfast import Client, HookNotFound


@dataclass(frozen=True, slots=True)
class Figure:
    """One measured figure: ``value`` in ``unit``, its ``ratio`` to the floor it is held against, and the target."""

    name: str
    value: float
    unit: str
    ratio: float
    target: float
    floor: str

    @property
    def is_met(self) -> bool:
        return self.ratio <= self.target


@dataclass(frozen=True, slots=True)
class Floors:
    """Medians in milliseconds."""

    echo: float
    commit: float

    @property
    def together(self) -> float:
        return self.echo + self.commit


async def empty_workflow(client: Client, floors: Floors) -> list[Figure]:
    taken = []
    for _ in range(120):
        begin = time.perf_counter()
        run = await client.start("empty")
        await run.result()
        taken.append((time.perf_counter() - begin) * 1000)
    return [_against("start → result of an empty workflow", statistics.median(taken[20:]), floors, 4.0)]


async def sequential_step(client: Client, floors: Floors) -> list[Figure]:
    """One run of many steps: the time between two step_completed events, by the store's own clock."""
    gaps: list[float] = []
    for _ in range(3):
        gaps += await _gaps(client, 150)
    return [_against("one sequential step", statistics.median(gaps), floors, 1.5)]


async def long_run(client: Client, floors: Floors) -> list[Figure]:
    gaps = await _gaps(client, 1_020)
    # Medians: a checkpoint or another process in one of the two hundreds is not growth.
    first, last = statistics.median(gaps[10:110]), statistics.median(gaps[-100:])
    return [Figure("1,020 steps: last 100 gaps / first 100", last, "ms", last / first, 1.1, "first 100 gaps")]


async def hook_resume(client: Client, floors: Floors) -> list[Figure]:
    values = 60
    token = f"bench:{time.time_ns()}"
    run = await client.start("listen", token, values)
    await _until_open(client, token)
    for _ in range(values):
        await client.resume(token, time.perf_counter())
    lateness = await run.result(timeout="30s")
    return [_against("hook resume → workflow code", statistics.median(lateness[5:]) * 1000, floors, 2.5)]


async def idle(client: Client, services: Services) -> list[Figure]:
    """Memory and SQL statements of both processes with nothing to do."""
    await asyncio.sleep(3)
    before = await services.statements()
    await asyncio.sleep(5)
    per_second = (await services.statements() - before) / 5
    figures = [Figure("SQL statements a second, idle", per_second, "/s", per_second, 1.0, "1 a second")]
    for name, pid in (("store", services.store.pid), ("runtime", services.runtime.pid)):
        megabytes = psutil.Process(pid).memory_info().rss / 1e6
        figures.append(Figure(f"memory of the {name}, idle", megabytes, "MB", megabytes / 80, 1.0, "80 MB"))
    return figures


async def _gaps(client: Client, steps: int) -> list[float]:
    run = await client.start("sequential", steps)
    await run.result(timeout="2m")
    times = [
        event.create_time.ToNanoseconds() / 1e6 async for event in run.events() if event.HasField("step_completed")
    ]
    return [later - earlier for earlier, later in itertools.pairwise(times)]


async def _until_open(client: Client, token: str) -> None:
    for _ in range(200):
        try:
            await client.hook(token)
            return
        except HookNotFound:
            await asyncio.sleep(0.01)
    raise TimeoutError(f"hook {token} did not open")


def _against(name: str, value_ms: float, floors: Floors, target: float) -> Figure:
    return Figure(name, value_ms, "ms", value_ms / floors.together, target, "echo + commit")


WORKLOADS: tuple[Callable[[Client, Floors], Awaitable[list[Figure]]], ...] = (
    empty_workflow,
    sequential_step,
    long_run,
    hook_resume,
)


async def measure(folder: Path) -> tuple[Floors, list[Figure]]:
    """Run every workload against fresh services in ``folder``."""
    floors = Floors(statistics.median(await echo_ms()), statistics.median(commit_ms(folder)))
    figures: list[Figure] = []
    async with running_services(folder) as services, Client(services.runtime_address) as client:
        figures += await idle(client, services)
        for workload in WORKLOADS:
            figures += await workload(client, floors)
    again = Floors(statistics.median(await echo_ms()), statistics.median(commit_ms(_fresh(folder))))
    return Floors((floors.echo + again.echo) / 2, (floors.commit + again.commit) / 2), figures


def _fresh(folder: Path) -> Path:
    fresh = folder / "again"
    fresh.mkdir()
    return fresh


def show(floors: Floors, figures: list[Figure]) -> None:
    table = Table(title=f"floors: echo {floors.echo:.2f} ms, durable commit {floors.commit:.2f} ms")
    for column in ("figure", "value", "ratio", "target", "floor", ""):
        table.add_column(column, justify="left" if column in ("figure", "floor", "") else "right")
    for figure in figures:
        met = "met" if figure.is_met else "MISSED"
        value, ratio, target = f"{figure.value:.2f} {figure.unit}", f"{figure.ratio:.2f}", f"≤ {figure.target:g}"
        table.add_row(figure.name, value, ratio, target, figure.floor, met)
    Console(width=120).print(table)


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--slack", type=float, default=1.5, help="exit 1 above target × slack (default 1.5)")
    options.add_argument("--json", type=Path, help="write the figures to this file")
    chosen = options.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        floors, figures = asyncio.run(measure(Path(folder)))
    show(floors, figures)
    if chosen.json:
        chosen.json.write_text(
            json.dumps({"floors": asdict(floors), "figures": [asdict(f) for f in figures]}, indent=1)
        )
    return int(any(figure.ratio > figure.target * chosen.slack for figure in figures))


if __name__ == "__main__":
    sys.exit(main())
