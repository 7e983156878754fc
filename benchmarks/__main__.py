"""`make bench`: how near to its floors holdfast runs, on two real processes over a socket.

Every figure that has a target is a ratio of floors measured in the same run, so that it says the same on a slow disk
and on a fast one. Exits 1 when one is worse than its target by more than ``--slack``. Measure on a quiet machine.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from benchmarks import report
from benchmarks.figures import Figure
from benchmarks.floors import Floors, take_floors
from benchmarks.processes import running_services
from benchmarks.workloads import Bench, Workload, concurrency, latency, load, replaying, streams
from holdfast import Client

#: By name, in the order in which they run: idle before anything is warm, what kills a process last.
WORKLOADS: Final[Mapping[str, Workload]] = {
    "idle": load.idle,
    "empty": latency.empty,
    "step": latency.step,
    "long": latency.long_run,
    "hook": latency.hook,
    "sequences": latency.sequences,
    "first-step": latency.first_step,
    "sleeps": latency.sleeps,
    "gather": concurrency.gather,
    "race": concurrency.race,
    "texts": concurrency.texts,
    "megabytes": concurrency.megabytes,
    "tokens": streams.tokens,
    "first-chunk": streams.first_chunk,
    "small-chunks": streams.small_chunks,
    "hops": streams.hops,
    "pipeline": streams.pipeline,
    "hops-at-once": streams.hops_at_once,
    "throughput": load.throughput,
    "much-throughput": load.much_throughput,
    "replay": replaying.replay,
    "sleeping": load.sleeping,
    "takeover": load.takeover,
}

#: Left out unless they are named: they take minutes.
_LONG: Final = frozenset(("much-throughput",))
#: What a quick look leaves out.
_NOT_QUICK: Final = frozenset(
    ("sequences", "race", "megabytes", "hops-at-once", "pipeline", "sleeping", "takeover", "small-chunks")
)

_RESULTS: Final = Path(__file__).resolve().parent / "results"


async def measure(
    folder: Path, names: list[str], *, is_quick: bool, postgres_url: str = ""
) -> tuple[Floors, list[Figure]]:
    """Run workloads against fresh services in ``folder``, between two takings of the floors.

    With ``postgres_url``, of an empty database, the store and the commits of the floors are there.
    """
    rate = await _rate_of_sqlite(_new(folder / "sqlite"), is_quick) if postgres_url else 0.0
    before = await take_floors(_new(folder / "before"), postgres_url)
    figures: list[Figure] = []
    starting = running_services(_new(folder / "services"), database=postgres_url)
    async with starting as services, Client(services.runtime_address) as client:
        bench = Bench(client, services, before, is_quick, rate)
        for name in names:
            figures += await WORKLOADS[name](bench)
    after = await take_floors(_new(folder / "after"), postgres_url)
    return before.mean(after), figures


async def _rate_of_sqlite(folder: Path, is_quick: bool) -> float:
    """Return the steps a second of the throughput workload on SQLite: PostgreSQL's are held against it."""
    _, figures = await measure(folder, ["throughput"], is_quick=is_quick)
    return figures[0].value


def _new(folder: Path) -> Path:
    folder.mkdir()
    return folder


def main() -> int:
    chosen = _options().parse_args()
    left_out = _LONG | (_NOT_QUICK if chosen.quick else frozenset())
    names = chosen.only or [name for name in WORKLOADS if name not in left_out]
    with tempfile.TemporaryDirectory() as folder, _database(chosen) as url:
        floors, figures = asyncio.run(measure(Path(folder), names, is_quick=chosen.quick, postgres_url=url))
    report.show(floors, figures)
    if chosen.save:
        _RESULTS.mkdir(exist_ok=True)
        name = "postgres" if url else "latest"
        report.write_json(_RESULTS / f"{name}.json", floors, figures)
        report.write_plot(_RESULTS / f"{name}.svg", figures)
    return int(not all(figure.is_within(chosen.slack) for figure in figures))


@contextmanager
def _database(chosen: argparse.Namespace) -> Iterator[str]:
    """Yield the URL of an empty PostgreSQL database, "" when none is asked for."""
    if chosen.postgres is None:
        yield ""
        return
    # Imported here: `make bench` on SQLite needs no server's binaries.
    from benchmarks.scale.databases import postgres_database, postgres_server

    with postgres_server(chosen.postgres) as server_url, postgres_database(server_url) as url:
        yield url


def _options() -> argparse.ArgumentParser:
    options = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    options.add_argument("--quick", action="store_true", help="a look in under a minute: fewer rounds, fewer workloads")
    options.add_argument("--only", nargs="+", choices=WORKLOADS, metavar="WORKLOAD", help=", ".join(WORKLOADS))
    options.add_argument("--slack", type=float, default=1.5, help="exit 1 above target × slack (default 1.5)")
    options.add_argument(
        "--postgres",
        nargs="?",
        const="",
        metavar="URL",
        help="measure on PostgreSQL: on a server that is started here, or on yours",
    )
    options.add_argument(
        "--save", action="store_true", help="write benchmarks/results/latest.json (postgres.json), .svg"
    )
    return options


if __name__ == "__main__":
    sys.exit(main())
