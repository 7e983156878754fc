"""The witness sees what it is for: each kind of contradiction is reported, and a clean storm is not."""

from __future__ import annotations

import pytest

from tests.checkers.witness import Claim, Entry, Outcome, Witness

LOG = (
    Entry(1, 10, "opening"),
    Entry(2, 11, "fact", moves_marker=True),
    Entry(3, 12, "note"),
    Entry(4, 13, "decision", is_decision=True),
    Entry(5, 14, "late decision", is_decision=True),
)

TRUE = (
    Claim("fact", Outcome.ACCEPTED, 2),
    Claim("note", Outcome.ACCEPTED, 3),
    Claim("decision", Outcome.ACCEPTED, 4, position=2, is_strict=True),
    Claim("late decision", Outcome.ACCEPTED, 5, position=3),
    Claim("old copy", Outcome.STALE, 3, position=1),
    Claim("other replay", Outcome.STALE, 5, position=3, is_strict=True),
)

FALSE = {
    "stale accepted": Claim("late decision", Outcome.ACCEPTED, 5, position=1),
    "stale accepted (loaded 3, committed as 5)": Claim(
        "late decision", Outcome.ACCEPTED, 5, position=3, is_strict=True
    ),
    "fresh refused": Claim("new copy", Outcome.STALE, 5, position=2),
    "refused as ahead": Claim("new copy", Outcome.AHEAD, 5, position=5),
    "in the log 0 times": Claim("lost", Outcome.ACCEPTED, 6),
    "in the log 1 times": Claim("fact", Outcome.STALE, 5, position=1),
    "was told 3, and stands at 2": Claim("fact", Outcome.ACCEPTED, 3),
}


def test_a_true_account_has_no_violations() -> None:
    assert Witness(LOG).violations(TRUE) == []


@pytest.mark.parametrize("told", FALSE)
def test_each_contradiction_is_reported(told: str) -> None:
    assert any(told in violation for violation in Witness(LOG).violations([FALSE[told]]))


def test_a_gap_and_a_time_that_does_not_rise_are_reported() -> None:
    gap = Witness([LOG[0], LOG[2]]).violations([])
    assert any("not dense" in violation for violation in gap)
    same_time = Witness([LOG[0], Entry(2, 10, "fact")]).violations([])
    assert any("does not rise" in violation for violation in same_time)
