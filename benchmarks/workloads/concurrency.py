"""Many steps of one run at once, and values of some size: gather, race, 10 KB in and out, megabytes."""

from __future__ import annotations

import itertools

from benchmarks.figures import Figure, of_samples
from benchmarks.workloads import Bench
from benchmarks.workloads.latency import timed_runs

_COUNTS = (10, 25, 50)
_TEXT = 10_000


async def gather(bench: Bench) -> list[Figure]:
    figures = []
    for count in _COUNTS:
        taken = await timed_runs(bench, bench.rounds(15), "fan_out", count)
        target = 12.0 if count == 50 else None
        floor = bench.floors.echo + bench.floors.commit
        name = f"gather of {count} steps, whole run"
        figures.append(of_samples(name, taken, floor_name="echo + commit", floor=floor, target=target))
    return figures


async def race(bench: Bench) -> list[Figure]:
    return [
        of_samples(f"race of {count} steps, whole run", await timed_runs(bench, bench.rounds(15), "race", count))
        for count in _COUNTS
    ]


async def texts(bench: Bench) -> list[Figure]:
    """10 KB into each step and out of it."""
    figures = []
    for count in _COUNTS:
        run = await bench.client.start("texts_in_turn", count, _TEXT)
        times = await run.result(timeout="1m")
        gaps = [(later - earlier) * 1000 for earlier, later in itertools.pairwise(times)]
        floor, target = bench.floors.echo + bench.floors.commit, 1.5 if count == 50 else None
        name = f"{count} sequential steps of 10 KB, a step"
        figures.append(of_samples(name, gaps, floor_name="echo + commit", floor=floor, target=target))
        taken = await timed_runs(bench, bench.rounds(10), "texts_at_once", count, _TEXT)
        figures.append(of_samples(f"{count} steps of 10 KB at once, whole run", taken))
    return figures


async def megabytes(bench: Bench) -> list[Figure]:
    taken = await timed_runs(bench, bench.rounds(5), "megabytes", 10)
    return [of_samples("fan-out, fan-in of 10 × 1 MB, whole run", taken)]
