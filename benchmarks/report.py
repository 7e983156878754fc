"""How figures are shown: a table for people, JSON for programs, a plot for pages."""

from __future__ import annotations

import json
import platform
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks.figures import Figure
from benchmarks.floors import Floors

_COLUMNS = ("figure", "p50", "p90", "p99", "unit", "ratio", "target", "held against", "")
_LEFT = frozenset(("figure", "unit", "held against", ""))


def show(floors: Floors, figures: Sequence[Figure]) -> None:
    """Print a table of every figure, with the floors above it."""
    title = (
        f"echo {floors.echo:.2f} ms, ping-pong {floors.ping_pong:.2f} ms, durable commit {floors.commit:.2f} ms "
        f"({floors.group_commit * 1000:.0f} µs an event in groups of 32), {floors.echo_rate:,.0f} echoes/s"
    )
    table = Table(title=title)
    for column in _COLUMNS:
        table.add_column(column, justify="left" if column in _LEFT else "right", overflow="fold")
    for figure in figures:
        table.add_row(*_row(figure))
    Console(width=150).print(table)


def write_json(path: Path, floors: Floors, figures: Sequence[Figure]) -> None:
    """Write floors and figures, with their ratios, and what machine they are of."""
    content = {"machine": _machine(), "floors": asdict(floors), "figures": _shown(figures)}
    path.write_text(json.dumps(content, indent=1) + "\n")


def merge_json(path: Path, figures: Sequence[Figure]) -> None:
    """Write figures that need no floors into a file, in place of those of the same names; the others stay."""
    known = json.loads(path.read_text())["figures"] if path.exists() else []
    fresh = {it.name for it in figures}
    kept = [it for it in known if it["name"] not in fresh]
    path.write_text(json.dumps({"machine": _machine(), "figures": [*kept, *_shown(figures)]}, indent=1) + "\n")


def line(figure: Figure) -> str:
    """Return a figure as one line of text, for measurements that take long."""
    name, value, p90, p99, unit, _, target, floor_name, verdict = _row(figure)
    spread = f" (p90 {p90}, p99 {p99})" if p99 else ""
    return f"{name}: {value} {unit}{spread}" + (f", target {target} × {floor_name}: {verdict}" if target else "")


def write_plot(path: Path, figures: Sequence[Figure]) -> None:
    """Draw every figure that has a target as a bar: how much of its target it takes, 1 is all of it."""
    import matplotlib

    matplotlib.use("svg")
    from matplotlib import pyplot

    held = [it for it in figures if it.target is not None and it.ratio is not None]
    shares = [_share_of_target(it) for it in held]
    drawing, axes = pyplot.subplots(figsize=(10, 0.4 * len(held) + 1))
    axes.barh([it.name for it in held], shares, color=["#4c9f70" if it.is_met else "#d1603d" for it in held])
    axes.axvline(1.0, color="black", linewidth=1)
    axes.set_xlabel("share of the target; right of the line it is missed")
    axes.invert_yaxis()
    drawing.tight_layout()
    # No date inside: the same figures give the same file.
    drawing.savefig(path, metadata={"Date": None})
    pyplot.close(drawing)


def _machine() -> dict[str, str]:
    return {"python": platform.python_version(), "machine": platform.machine(), "system": platform.system()}


def _shown(figures: Sequence[Figure]) -> list[dict[str, Any]]:
    return [{**asdict(it), "ratio": it.ratio, "is_met": it.is_met} for it in figures]


def _share_of_target(figure: Figure) -> float:
    assert figure.target is not None and figure.ratio is not None
    return figure.target / figure.ratio if figure.is_more_better else figure.ratio / figure.target


def _row(figure: Figure) -> tuple[str, ...]:
    sign = "≥" if figure.is_more_better else "≤"
    target = "" if figure.target is None else f"{sign} {figure.target:g}"
    verdict = "" if figure.target is None else "met" if figure.is_met else "MISSED"
    return (
        figure.name,
        _number(figure.value),
        _number(figure.p90),
        _number(figure.p99),
        figure.unit,
        _number(figure.ratio),
        target,
        figure.floor_name,
        verdict,
    )


def _number(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:,.0f}" if value >= 1000 else f"{value:.3g}"
