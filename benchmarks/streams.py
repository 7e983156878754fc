"""`python -m benchmarks.streams`: what a stream carries, from a step to a reader behind the runtime.

Two figures over real processes: 1 MiB through 64 KiB chunks, and the lateness of 300 token-sized chunks written every
10 ms, each with the floors of the machine beside it. Lateness is from the call of ``write`` to the item in the
reader's hands; each item carries the time of its write, and both ends read one clock.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks.floors import commit_ms, echo_ms
from benchmarks.processes import running_services
from holdfast import Client

CHUNKS, CHUNK_BYTES = 16, 64 * 1024
TOKENS, TOKEN_EVERY_MS = 300, 10

#: Times that each is measured; the median is shown.
ROUNDS = 5


@dataclass(frozen=True, slots=True)
class Streams:
    """Medians. ``bulk_ms`` is from the first write to the last chunk read, ``late_…`` a token's way, all in ms."""

    echo_ms: float
    commit_ms: float
    bulk_ms: float
    late_p50_ms: float
    late_p99_ms: float


async def bulk(client: Client) -> float:
    """Milliseconds from the first write of 1 MiB to its last chunk at the reader."""
    run = await client.start("pour", CHUNKS, CHUNK_BYTES)
    size = 0
    async for chunk in run.stream("bytes", type=bytes):
        size += len(chunk)
    read_at = time.perf_counter()
    assert size == CHUNKS * CHUNK_BYTES
    return (read_at - await run.result()) * 1000


async def lateness(client: Client) -> list[float]:
    """Milliseconds that each of the tokens was on its way."""
    run = await client.start("drip", TOKENS, TOKEN_EVERY_MS / 1000)
    late = [(time.perf_counter() - at) * 1000 async for at in run.stream("tokens", type=float)]
    assert len(late) == TOKENS
    return late


async def measure(folder: Path) -> Streams:
    """Measure against fresh services in ``folder``."""
    echo, commit = statistics.median(await echo_ms()), statistics.median(commit_ms(folder))
    async with running_services(folder) as services, Client(services.runtime_address) as client:
        await bulk(client)
        poured = [await bulk(client) for _ in range(ROUNDS)]
        late = sorted([ms for _ in range(2) for ms in await lateness(client)])
    return Streams(echo, commit, statistics.median(poured), statistics.median(late), late[len(late) * 99 // 100])


def show(found: Streams) -> None:
    print(f"floors: echo {found.echo_ms:.2f} ms, durable commit {found.commit_ms:.2f} ms")
    megabytes = CHUNKS * CHUNK_BYTES / 1e6
    rate = megabytes / found.bulk_ms * 1000
    print(f"1 MiB through {CHUNKS} chunks of 64 KiB, step to reader: {found.bulk_ms:.1f} ms ({rate:.0f} MB/s)")
    floors = 2 * found.echo_ms + found.commit_ms
    print(
        f"{TOKENS} tokens, one every {TOKEN_EVERY_MS} ms, lateness: p50 {found.late_p50_ms:.2f} ms "
        f"({found.late_p50_ms / floors:.1f} × (2 echoes + commit)), p99 {found.late_p99_ms:.2f} ms"
    )


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--json", type=Path, help="write the figures to this file")
    chosen = options.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        found = asyncio.run(measure(Path(folder)))
    show(found)
    if chosen.json:
        chosen.json.write_text(json.dumps(asdict(found), indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
