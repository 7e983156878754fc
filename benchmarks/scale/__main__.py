"""`make bench-scale`: a store with very much in it, and several stores and runtimes, on SQLite and on PostgreSQL.

A full run takes half an hour and 5 GB of disk. ``--share 0.01`` makes everything a hundredth as large; then the figures
say that it works, and little else. Exits 1 when a figure is worse than its target by more than ``--slack``.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import grpc.aio

from benchmarks import report
from benchmarks.figures import Figure
from benchmarks.processes import running_store
from benchmarks.scale import listing, replicas, retaining, sleeping, writing
from benchmarks.scale.databases import copy_to_postgres, database, filled_file, postgres_server

ENGINES: Final = ("sqlite", "postgresql")
_RESULTS: Final = Path(__file__).resolve().parent.parent / "results" / "scale.json"


@dataclass(frozen=True, slots=True)
class Scale:
    """Where and how much: ``share`` of the full sizes, ``kept`` for filled files that another run may use again."""

    folder: Path
    kept: Path
    server_url: str
    share: float

    def of(self, full: int, least: int = 1) -> int:
        return max(least, round(full * self.share))

    @property
    def is_short(self) -> bool:
        """Whether it is only seen that it works."""
        return self.share < 0.01


async def list_runs(scale: Scale, engine: str) -> list[Figure]:
    """A million finished runs."""
    count = scale.of(1_000_000, 2_000)
    path = await filled_file(scale.kept, count)
    async with database(engine, scale.server_url, scale.folder) as url:
        if engine == "sqlite":
            url = f"sqlite:///{path}"
        else:
            await copy_to_postgres(path, url)
        async with (
            running_store(url, scale.folder / "counts") as store,
            grpc.aio.insecure_channel(store.address) as channel,
        ):
            return await listing.measure(channel, count, engine, 1 if scale.is_short else 15)


async def retain(scale: Scale, engine: str) -> list[Figure]:
    """Fifty thousand ended runs, deleted."""
    count = scale.of(50_000, 400)
    path = await filled_file(scale.folder, count)
    async with database(engine, scale.server_url, scale.folder) as url:
        if engine == "sqlite":
            url = f"sqlite:///{path}"
        else:
            await copy_to_postgres(path, url)
        async with running_store(url, scale.folder / "counts") as store:
            figures = await retaining.measure(store.address, engine, 0.5 if scale.is_short else 5.0)
    path.unlink()
    return figures


async def sleep(scale: Scale, engine: str) -> list[Figure]:
    """A hundred thousand sleeping runs."""
    count, due = scale.of(100_000, 100), scale.of(1_500, 20)
    with tempfile.TemporaryDirectory(dir=scale.folder) as folder:
        async with (
            database(engine, scale.server_url, scale.folder) as full,
            database(engine, scale.server_url, scale.folder) as empty,
        ):
            return await sleeping.measure(
                full, empty, Path(folder), count, due, engine, haste=4.0 if scale.is_short else 1.0
            )


async def replicate(scale: Scale, engine: str) -> list[Figure]:
    """Stores and runtimes side by side; SQLite has one store, and is what the others are compared with."""
    figures = []
    for shape in replicas.SHAPES[-1:] if scale.is_short else replicas.SHAPES:
        if engine == "postgresql" or shape == (1, 1):
            async with database(engine, scale.server_url, scale.folder) as url:
                figures += await replicas.measure(url, scale.folder, shape, scale.of(500, 64), engine)
    return figures


async def write(scale: Scale, engine: str) -> list[Figure]:
    """A million events."""
    with tempfile.TemporaryDirectory(dir=scale.folder) as folder:
        async with database(engine, scale.server_url, scale.folder) as url:
            return await writing.measure(url, Path(folder), scale.of(1_000_000, 3_300), engine)


QUESTIONS: Final[Mapping[str, Callable[[Scale, str], Awaitable[list[Figure]]]]] = {
    "replicas": replicate,
    "sleeping": sleep,
    "listing": list_runs,
    "retaining": retain,
    "writing": write,
}


async def measure(scale: Scale, names: list[str], engines: list[str]) -> list[Figure]:
    """Ask each question of each engine, one after the other."""
    figures: list[Figure] = []
    for name in names:
        for engine in engines:
            found = await QUESTIONS[name](scale, engine)
            for figure in found:
                print(report.line(figure), flush=True)
            figures += found
    return figures


def main() -> int:
    chosen = _options().parse_args()
    with tempfile.TemporaryDirectory() as name, postgres_server(chosen.postgres) as server_url:
        folder = Path(name)
        kept = Path(chosen.keep) if chosen.keep else folder
        scale = Scale(folder, kept, server_url, chosen.share)
        figures = asyncio.run(measure(scale, chosen.only or list(QUESTIONS), chosen.engine or list(ENGINES)))
    if chosen.save:
        report.merge_json(_RESULTS, figures)
    return int(not all(figure.is_within(chosen.slack) for figure in figures))


def _options() -> argparse.ArgumentParser:
    options = argparse.ArgumentParser(prog="python -m benchmarks.scale", description=__doc__)
    options.add_argument("--share", type=float, default=1.0, help="how much of the full sizes (default 1.0)")
    options.add_argument("--only", nargs="+", choices=QUESTIONS, metavar="QUESTION", help=", ".join(QUESTIONS))
    options.add_argument("--engine", nargs="+", choices=ENGINES, help="default: both")
    options.add_argument(
        "--postgres", default="", metavar="URL", help="a server of your own, with the right to create databases"
    )
    options.add_argument("--keep", default="", metavar="FOLDER", help="keep the filled file there, and use it again")
    options.add_argument("--slack", type=float, default=1.0, help="exit 1 above target × slack (default 1.0)")
    options.add_argument("--save", action="store_true", help="write the figures into benchmarks/results/scale.json")
    return options


if __name__ == "__main__":
    sys.exit(main())
