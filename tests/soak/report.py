"""How a soak is shown: lines for people, JSON for programs, a plot for pages."""

from __future__ import annotations

import json
import platform
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

from tests.soak.outcome import Soak
from tests.soak.sampling import MEBIBYTE, Life
from tests.soak.trends import Window

_WORDS: Final = {True: "ok", False: "WRONG", None: "not judged"}

#: Samples of one life in the JSON: more than a plot can show.
_SAMPLES_MAX: Final = 200


def lines(soak: Soak) -> Iterator[str]:
    """Yield the report."""
    capacity = "" if soak.capacity is None else f" of a capacity of {soak.capacity:.1f}"
    yield f"{soak.seconds:.0f} s, {soak.per_second:.1f} runs/s{capacity}, {len(soak.faults)} faults:"
    yield from (f"  {count:3} x {name}" for name, count in sorted(Counter(it.name for it in soak.faults).items()))
    for title, runs in (("all runs", soak.ended), ("runs that met no fault", soak.calm)):
        if found := soak.windows(runs):
            yield f"{title}: p50 {_range(it.p50 for it in found)} s, p99 {_range(it.p99 for it in found)} s by windows"
    if soak.sizes:
        most, last = max(size for _, size in soak.sizes), soak.sizes[-1][1]
        sizes = f"{most / MEBIBYTE:.1f} MiB at most, {last / MEBIBYTE:.1f} MiB at the end"
        yield f"database: {sizes}, {soak.deleted} runs deleted"
    yield from (f"{it.promise:42} {it.found:60} {_WORDS[it.is_kept]}" for it in soak.verdicts())
    yield from (f"  {it}" for it in (*soak.wrong, *soak.late, *soak.findings, *soak.logged))


def _range(values: Iterator[float]) -> str:
    found = sorted(values)
    return f"{found[0]:.3f} to {found[-1]:.3f}"


def write_json(path: Path, soak: Soak) -> None:
    """Write what the report says, and the series behind it."""
    shown = {
        "machine": {
            "python": platform.python_version(),
            "machine": platform.machine(),
            "system": platform.system(),
            "is_shared": soak.is_shared,
        },
        "seconds": soak.seconds,
        "runs_per_second": soak.per_second,
        "capacity": soak.capacity,
        "verdicts": [asdict(it) for it in soak.verdicts()],
        "faults": [
            {"name": it.name, "at": _at(soak, it.began), "seconds": _short(it.ended - it.began)} for it in soak.faults
        ],
        "windows": _windows(soak.windows(soak.ended)),
        "windows_without_faults": _windows(soak.windows(soak.calm)),
        "lives": [_life(soak, it) for it in soak.lives if it.samples],
        "database_bytes": [[_at(soak, at), size] for at, size in _thinned(soak.sizes)],
    }
    # A line for each part, so that a series is not a thousand lines.
    parts = ",\n".join(f" {json.dumps(key)}: {json.dumps(value)}" for key, value in shown.items())
    path.write_text(f"{{\n{parts}\n}}\n")


def write_plot(path: Path, soak: Soak) -> None:
    """Draw memory, descriptors and latencies over time; faults are thin lines."""
    import matplotlib

    matplotlib.use("svg")
    from matplotlib import pyplot

    drawing, (memory, files, latencies) = pyplot.subplots(3, 1, figsize=(10, 9), sharex=True)
    colours = {name: f"C{number}" for number, name in enumerate(sorted({it.name for it in soak.lives}))}
    for life in soak.lives:
        minutes = [(it.at - soak.began) / 60 for it in life.samples]
        memory.plot(minutes, [it.rss / MEBIBYTE for it in life.samples], color=colours[life.name], linewidth=1)
        files.plot(minutes, [it.fds for it in life.samples], color=colours[life.name], linewidth=1)
    for name, colour in colours.items():
        memory.plot([], [], color=colour, label=name)
    for title, runs in (("all runs", soak.ended), ("runs that met no fault", soak.calm)):
        found = soak.windows(runs)
        middles = [(it.since + it.until) / 120 for it in found]
        latencies.plot(middles, [it.p99 * 1000 for it in found], marker="o", markersize=3, label=f"p99, {title}")
    for axes in (memory, files, latencies):
        for fault in soak.faults:
            axes.axvline((fault.began - soak.began) / 60, color="black", linewidth=0.15)
    memory.set_ylabel("resident MiB")
    files.set_ylabel("descriptors")
    latencies.set(ylabel="ms", yscale="log", xlabel="minutes")
    memory.legend(fontsize="small")
    latencies.legend(fontsize="small")
    drawing.tight_layout()
    drawing.savefig(path, metadata={"Date": None})
    pyplot.close(drawing)


def _windows(found: Sequence[Window]) -> list[dict[str, float]]:
    return [{key: _short(value) for key, value in asdict(it).items()} for it in found]


def _life(soak: Soak, life: Life) -> dict[str, Any]:
    samples = [[_at(soak, it.at), it.rss, it.fds, it.threads, _short(it.cpu)] for it in _thinned(life.samples)]
    return {"name": life.name, "samples_of": ["at", "rss", "fds", "threads", "cpu"], "samples": samples}


def _thinned(series: Sequence[Any]) -> Sequence[Any]:
    return series[:: max(1, len(series) // _SAMPLES_MAX)]


def _at(soak: Soak, at: float) -> float:
    return _short(at - soak.began)


def _short(value: float) -> float:
    return round(value, 3)
