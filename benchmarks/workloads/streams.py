"""What a stream carries, from a step to a reader behind the runtime.

Lateness is from the call of ``write`` to the item in the reader's hands; each item carries the time of its write, and
both ends read one clock.
"""

from __future__ import annotations

import asyncio
import time
from typing import Any

from benchmarks.figures import Figure, of_samples
from benchmarks.workloads import Bench

_CHUNKS, _CHUNK_BYTES = 16, 64 * 1024
_HOPS = 5
_AT_ONCE = 10


async def tokens(bench: Bench) -> list[Figure]:
    """Token-sized chunks every 10 ms."""
    count = bench.rounds(300)
    run = await bench.client.start("drip", count, 0.01)
    late = [(time.perf_counter() - at) * 1000 async for at in run.stream("tokens", type=float)]
    floor = 2 * bench.floors.echo + bench.floors.commit
    return [
        of_samples("chunk write → remote reader", late, floor_name="2 echoes + commit", floor=floor, target=1.0),
    ]


async def first_chunk(bench: Bench) -> list[Figure]:
    taken = []
    for _ in range(bench.rounds(20)):
        begin = time.perf_counter()
        run = await bench.client.start("drip", 1, 0.0)
        async for _ in run.stream("tokens", type=float):
            taken.append((time.perf_counter() - begin) * 1000)
    return [of_samples("time to first chunk", taken)]


async def small_chunks(bench: Bench) -> list[Figure]:
    taken = []
    for _ in range(bench.rounds(15)):
        begin = time.perf_counter()
        run = await bench.client.start("drip", 50, 0.0)
        assert len([at async for at in run.stream("tokens", type=float)]) == 50
        taken.append((time.perf_counter() - begin) * 1000)
    return [of_samples("stream of 50 small chunks, start → end", taken)]


async def hops(bench: Bench) -> list[Figure]:
    """A megabyte written by each of five steps in turn, the last one's read. No step reads: this is no pipeline."""
    taken = []
    for _ in range(bench.rounds(5)):
        begin = time.perf_counter()
        run = await bench.client.start("hops", _CHUNKS, _CHUNK_BYTES, _HOPS)
        await _read(run, _HOPS)
        taken.append((time.perf_counter() - begin) * 1000)
    return [
        of_samples(
            f"1 MB written by each of {_HOPS} steps, a step",
            taken,
            floor_name="1 MB echo",
            floor=bench.floors.megabyte,
            per=_HOPS,
        )
    ]


async def pipeline(bench: Bench) -> list[Figure]:
    """A megabyte through five steps that each read the stream of the one before, and on to a reader outside."""
    taken = []
    for _ in range(bench.rounds(5)):
        begin = time.perf_counter()
        run = await bench.client.start("pipeline", bench.services.runtime_address, _CHUNKS, _CHUNK_BYTES, _HOPS)
        await _read(run, _HOPS)
        taken.append((time.perf_counter() - begin) * 1000)
        await run.result(timeout="1m")
    return [
        of_samples(
            f"1 MB through {_HOPS} steps that read and write, a hop",
            taken,
            floor_name="1 MB echo",
            floor=bench.floors.megabyte,
            target=5.0,
            per=_HOPS,
        )
    ]


async def hops_at_once(bench: Bench) -> list[Figure]:
    taken = []
    for _ in range(bench.rounds(5)):
        begin = time.perf_counter()
        run = await bench.client.start("hops_at_once", _CHUNKS, _CHUNK_BYTES, _AT_ONCE)
        await asyncio.gather(*(_read(run, number + 1) for number in range(_AT_ONCE)))
        taken.append((time.perf_counter() - begin) * 1000)
    return [of_samples(f"{_AT_ONCE} streams of 1 MB at once", taken)]


async def _read(run: Any, number: int) -> None:
    size = 0
    async for chunk in run.stream(f"hop-{number}", type=bytes):
        size += len(chunk)
    assert size == _CHUNKS * _CHUNK_BYTES
