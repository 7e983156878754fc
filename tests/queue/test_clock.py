"""The store's clock: hazard 3, without waiting for anything."""

from __future__ import annotations

from dataclasses import dataclass

from store_service.api.clock import SteadyClock

SECOND_NS = 1_000_000_000
YEAR_NS = 365 * 24 * 3600 * SECOND_NS
START_NS = 2_000_000_000 * SECOND_NS


@dataclass
class Machine:
    """A wall clock that people set and a steady clock that nobody sets."""

    wall_ns: int = START_NS
    steady_ns: int = 0

    def pass_time(self, seconds: float) -> None:
        self.wall_ns += int(seconds * SECOND_NS)
        self.steady_ns += int(seconds * SECOND_NS)

    def clock(self) -> SteadyClock:
        return SteadyClock(lambda: self.wall_ns, lambda: self.steady_ns)


def test_it_reads_wall_time_while_nobody_sets_the_wall() -> None:
    machine = Machine()
    clock = machine.clock()
    machine.pass_time(3600)
    assert clock() == machine.wall_ns // 1_000_000


def test_a_wall_set_a_year_ahead_moves_no_lease_end_by_more_than_a_tenth() -> None:
    machine = Machine()
    clock = machine.clock()
    before = clock()
    machine.wall_ns += YEAR_NS
    machine.pass_time(30)
    assert 30_000 <= clock() - before <= 33_000


def test_a_wall_set_back_never_sets_it_back_and_slows_it_by_a_thousandth_at_most() -> None:
    machine = Machine()
    clock = machine.clock()
    before = clock()
    machine.wall_ns -= YEAR_NS
    assert clock() == before
    machine.pass_time(30)
    assert 29_970 <= clock() - before <= 30_000


def test_ahead_and_back_again_it_is_right_in_the_end() -> None:
    machine = Machine()
    clock = machine.clock()
    machine.wall_ns += YEAR_NS
    machine.pass_time(10)
    clock()
    machine.wall_ns -= YEAR_NS
    machine.pass_time(1_000)
    clock()
    assert clock() == machine.wall_ns // 1_000_000


def test_a_small_error_is_made_up_for() -> None:
    machine = Machine()
    clock = machine.clock()
    machine.wall_ns += 5 * SECOND_NS
    for _ in range(60):
        machine.pass_time(1)
        clock()
    assert clock() == machine.wall_ns // 1_000_000
