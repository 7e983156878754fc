"""Every schedule of small runs keeps the promises; a schedule can be played again, by its moves or by its seed."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from store_service.rules.guard import Position, Snapshot, Verdict
from tests.simulation.explorer import Simulation
from tests.simulation.shapes import SHAPES
from tests.simulation.verdicts import Broken

#: Shape → schedules with one fault, at least; the numbers change with the code, their order of magnitude does not.
SCHEDULES_MIN = {
    "race": 10_000_000,
    "gathered": 100_000_000,
    "noted": 50_000,
    "fragile": 200,
    "retried": 100_000,
    "cleaned": 10_000_000,
}


@pytest.fixture
def simulations() -> Iterator[list[Simulation]]:
    """Simulations to be closed at the end."""
    opened: list[Simulation] = []
    yield opened
    for simulation in opened:
        simulation.close()


def open_simulation(simulations: list[Simulation], shape: str, faults: int) -> Simulation:
    simulations.append(Simulation(shape, faults))
    return simulations[-1]


@pytest.mark.slow
@pytest.mark.parametrize("shape", SHAPES)
def test_every_schedule_with_one_fault_keeps_the_promises(simulations: list[Simulation], shape: str) -> None:
    totals = open_simulation(simulations, shape, 1).explore()
    assert totals.schedules >= SCHEDULES_MIN[shape]


@pytest.mark.parametrize("shape", SHAPES)
def test_every_schedule_without_a_fault_keeps_the_promises(simulations: list[Simulation], shape: str) -> None:
    assert open_simulation(simulations, shape, 0).explore().schedules >= 1


def test_every_schedule_of_notes_and_values_with_one_fault_keeps_the_promises(simulations: list[Simulation]) -> None:
    totals = open_simulation(simulations, "noted", 1).explore()
    assert totals.schedules >= SCHEDULES_MIN["noted"]
    assert {"STALE_SNAPSHOT", "LEASE_LOST", "RUN_TERMINAL"} <= set(totals.refusals)


def test_a_schedule_is_played_again_by_its_seed_and_by_its_moves(simulations: list[Simulation]) -> None:
    first = open_simulation(simulations, "race", 2).walk(7)
    again = open_simulation(simulations, "race", 2)
    assert list(again.walk(7)) == list(first)
    assert list(again.replay(first)) == list(first)


@pytest.mark.parametrize("shape", SHAPES)
def test_long_schedules_with_many_faults_keep_the_promises(simulations: list[Simulation], shape: str) -> None:
    simulation = open_simulation(simulations, shape, 4)
    assert len({tuple(simulation.walk(seed)) for seed in range(20)}) > 5


def test_a_broken_promise_is_told_with_the_schedule_that_breaks_it(
    simulations: list[Simulation], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("store_service.rules.leases.require_held", lambda *_: None)
    with pytest.raises(Broken, match="a writer whose lease was lost wrote") as caught:
        open_simulation(simulations, "noted", 1).explore()
    with pytest.raises(Broken, match="a writer whose lease was lost wrote"):
        open_simulation(simulations, "noted", 1).replay(caught.value.schedule)


def test_a_guard_that_refuses_too_much_is_seen_too(
    simulations: list[Simulation], monkeypatch: pytest.MonkeyPatch
) -> None:
    def compare(snapshot: Snapshot, run: Position) -> Verdict:
        return Verdict.BEHIND_FACT if snapshot.is_given else Verdict.FRESH

    monkeypatch.setattr("store_service.rules.guard.compare", compare)
    with pytest.raises(Broken, match="a fresh decision was refused"):
        open_simulation(simulations, "noted", 0).explore()
