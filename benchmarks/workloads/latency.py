"""One run alone: what a workflow, a step, a value from outside and a sleep take, with nothing else to do."""

from __future__ import annotations

import asyncio
import itertools
import statistics
import time

from benchmarks.figures import Figure, of_samples
from benchmarks.workloads import Bench
from holdfast import HookNotFound


async def timed_run(bench: Bench, workflow: str, *arguments: object) -> float:
    """Return the milliseconds from start to result of one run."""
    begin = time.perf_counter()
    run = await bench.client.start(workflow, *arguments)
    await run.result(timeout="2m")
    return (time.perf_counter() - begin) * 1000


async def timed_runs(bench: Bench, rounds: int, workflow: str, *arguments: object) -> list[float]:
    """Return the milliseconds of runs one after the other, without the first few."""
    taken = [await timed_run(bench, workflow, *arguments) for _ in range(rounds + 3)]
    return taken[3:]


async def empty(bench: Bench) -> list[Figure]:
    taken = await timed_runs(bench, bench.rounds(200), "empty")
    return [
        of_samples(
            "empty workflow, start → result",
            taken,
            floor_name="echo + commit",
            floor=bench.floors.echo + bench.floors.commit,
            target=3.0,
        )
    ]


async def step(bench: Bench) -> list[Figure]:
    """What a sequential step adds, by the workflow's own code, and what it uses up."""
    steps = 400
    before = await bench.services.usage()
    gaps = [gap for _ in range(bench.rounds(5)) for gap in (await _gaps(bench, "sequential", steps))[20:]]
    after = await bench.services.usage()
    count = steps * bench.rounds(5)
    floors = bench.floors
    figures = [
        of_samples(
            "sequential step",
            gaps,
            floor_name="ping-pong + commit" if bench.is_on_sqlite else "echo + commit",
            floor=(floors.ping_pong if bench.is_on_sqlite else floors.echo) + floors.commit,
            target=1.25 if bench.is_on_sqlite else 1.5,
        )
    ]
    used = {
        "CPU of the store a step, one run alone": ((after.store_cpu - before.store_cpu) * 1000, "ms"),
        "CPU of the runtime a step, one run alone": ((after.runtime_cpu - before.runtime_cpu) * 1000, "ms"),
        "SQL statements a step": (float(after.statements - before.statements), ""),
        "kB written to disk a step": ((after.bytes_written - before.bytes_written) / 1000, "kB"),
    }
    return [*figures, *(Figure(name, value / count, unit) for name, (value, unit) in used.items())]


async def long_run(bench: Bench) -> list[Figure]:
    """Nothing grows with history: the last hundred of 1,020 steps against the first."""
    gaps = await _gaps(bench, "sequential", 1_020)
    # Medians: a checkpoint or another process in one of the two hundreds is not growth.
    first, last = statistics.median(gaps[10:110]), statistics.median(gaps[-100:])
    return [Figure("1,020 steps: last 100 gaps", last, "ms", "first 100 gaps", first, 1.03)]


async def sequences(bench: Bench) -> list[Figure]:
    """Whole runs of 1, 10, 25, 50 steps in turn."""
    figures = []
    for steps in (1, 10, 25, 50):
        taken = await timed_runs(bench, bench.rounds(15), "sequential", steps)
        figures.append(of_samples(f"run of {steps} sequential steps", taken))
    return figures


async def first_step(bench: Bench) -> list[Figure]:
    """From the call of start to the first line of a step's body. Both processes read one clock."""
    taken = []
    for _ in range(bench.rounds(50)):
        begin = time.perf_counter()
        run = await bench.client.start("first_step")
        taken.append((await run.result(timeout="20s") - begin) * 1000)
    return [of_samples("time to first step", taken)]


async def hook(bench: Bench) -> list[Figure]:
    values = bench.rounds(150)
    token = f"bench:{time.time_ns()}"
    run = await bench.client.start("listen", token, values + 5)
    await _until_open(bench, token)
    for _ in range(values + 5):
        await bench.client.resume(token, time.perf_counter())
    lateness = [late * 1000 for late in (await run.result(timeout="30s"))[5:]]
    return [
        of_samples(
            "hook resume → workflow code",
            lateness,
            floor_name="echo + commit",
            floor=bench.floors.echo + bench.floors.commit,
            target=2.0,
        )
    ]


async def sleeps(bench: Bench) -> list[Figure]:
    run = await bench.client.start("naps", bench.rounds(25), 0.05)
    lateness = [late * 1000 for late in await run.result(timeout="1m")]
    return [of_samples("lateness of a sleep of 50 ms", lateness)]


async def _gaps(bench: Bench, workflow: str, *arguments: object) -> list[float]:
    run = await bench.client.start(workflow, *arguments)
    times = await run.result(timeout="2m")
    return [(later - earlier) * 1000 for earlier, later in itertools.pairwise(times)]


async def _until_open(bench: Bench, token: str) -> None:
    for _ in range(500):
        try:
            await bench.client.hook(token)
            return
        except HookNotFound:
            await asyncio.sleep(0.01)
    raise TimeoutError(f"hook {token} did not open")
