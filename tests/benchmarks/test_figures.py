"""The arithmetic of the benchmarks: what counts as met, and what a share of a target is."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks import report
from benchmarks.figures import Figure, of_samples
from benchmarks.floors import Floors

FLOORS = Floors(echo=0.5, ping_pong=0.25, commit=0.2, group_commit=0.05, megabyte=5.0, echo_rate=2_000.0)


@pytest.mark.parametrize(
    ("value", "is_more_better", "is_met", "is_within"),
    [(2.0, False, True, True), (2.5, False, False, True), (3.5, False, False, False), (2.5, True, True, True)],
)
def test_a_figure_is_met_at_its_target_and_tolerated_up_to_the_slack(
    value: float, is_more_better: bool, is_met: bool, is_within: bool
) -> None:
    figure = Figure("any", value, "ms", "floor", 1.0, 2.0, is_more_better=is_more_better)
    assert figure.is_met is is_met
    assert figure.is_within(1.5) is is_within


def test_a_rate_below_its_target_is_missed() -> None:
    assert not Figure("any", 1.9, "/s", "floor", 1.0, 2.0, is_more_better=True).is_met


def test_samples_give_their_median_and_spread_for_each_of_what_they_held() -> None:
    figure = of_samples("any", [float(number) for number in range(1, 101)], per=10)
    assert (figure.value, figure.p90, figure.p99) == (5.05, 9.1, 10.0)


def test_figures_are_written_for_programs_and_drawn_the_same_twice(tmp_path: Path) -> None:
    figures = [Figure("slow", 3.0, "ms", "floor", 1.0, 2.0), Figure("plain", 1.0, "MB")]
    report.write_json(tmp_path / "a.json", FLOORS, figures)
    written = json.loads((tmp_path / "a.json").read_text())
    assert [(it["name"], it["ratio"], it["is_met"]) for it in written["figures"]] == [
        ("slow", 3.0, False),
        ("plain", None, True),
    ]
    report.write_plot(tmp_path / "a.svg", figures)
    assert "slow" in (tmp_path / "a.svg").read_text()
