"""``make simulate``: every schedule of small runs, long ones by seeds, and whole runtimes among faults by seeds.

``python -m tests.simulation [SHAPE…] [--faults N] [--walks N] [--held N] [--seed N]``. A schedule is one order of
everything that happens to a run: turns of two runtimes, results of steps, values and requests from outside, time, and
faults (a crash, a lease that ends early, a lost answer, a value sent again), at most ``--faults`` of them. ``--walks``
plays so many schedules of four faults for each shape, ``--held`` so many of whole runtimes, from ``--seed`` on.
``SHAPE --schedule 'MOVE …'`` and ``SHAPE --held-seed N`` play one again. Exits with 1 when a promise is broken, and
prints the command that shows it.
"""

from __future__ import annotations

import argparse
import sys
import time

from tests.simulation import held
from tests.simulation.explorer import Simulation
from tests.simulation.held import HeldBroken
from tests.simulation.shapes import SHAPES
from tests.simulation.verdicts import Broken

#: Faults in a schedule that a seed chooses.
_WALK_FAULTS = 4


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("shapes", nargs="*", metavar="SHAPE", help=f"of {', '.join(SHAPES)}; default all")
    parser.add_argument("--faults", type=int, default=1, help="faults in one schedule (default 1)")
    parser.add_argument("--walks", type=int, default=100, help="schedules by seeds for each shape (default 100)")
    parser.add_argument("--held", type=int, default=100, help="schedules of whole runtimes a shape (default 100)")
    parser.add_argument("--held-seed", type=int, help="play this one of whole runtimes")
    parser.add_argument("--seed", type=int, default=0, help="first seed (default 0)")
    parser.add_argument("--schedule", default="", help="play these moves of one shape, with any number of faults")
    options = parser.parse_args()
    shapes = options.shapes or list(SHAPES)
    if unknown := set(shapes) - set(SHAPES):
        parser.error(f"no shape has the name {', '.join(sorted(unknown))}")
    sys.setrecursionlimit(20_000)
    try:
        if options.schedule:
            moves = Simulation(shapes[0], 1 << 30).replay(options.schedule.split())
            print(f"every promise was kept: {' '.join(moves)}")
            return 0
        if options.held_seed is not None:
            print(f"every promise was kept among {', '.join(held.play(shapes[0], options.held_seed)) or 'no faults'}")
            return 0
        total = sum(_play(shape, options) for shape in shapes)
    except (Broken, HeldBroken) as broken:
        print(f"BROKEN: {broken}")
        return 1
    print(f"{total:,} schedules, every promise was kept")
    return 0


def _play(shape: str, options: argparse.Namespace) -> int:
    return (
        _explore(shape, options.faults)
        + _walk(shape, options.seed, options.walks)
        + _hold(shape, options.seed, options.held)
    )


def _explore(shape: str, faults: int) -> int:
    began = time.monotonic()
    simulation = Simulation(shape, faults)
    totals = simulation.explore()
    simulation.close()
    refused = sum(totals.refusals.values())
    print(
        f"{shape:10} {faults} fault(s): {totals.schedules:>16,} schedules, {totals.states:>7,} states, "
        f"{totals.moves:>8,} moves, {refused:>6,} refusals, {time.monotonic() - began:5.1f} s",
        flush=True,
    )
    return totals.schedules


def _walk(shape: str, seed: int, walks: int) -> int:
    simulation = Simulation(shape, _WALK_FAULTS)
    for number in range(seed, seed + walks):
        simulation.walk(number)
    simulation.close()
    return walks


def _hold(shape: str, seed: int, count: int) -> int:
    began = time.monotonic()
    faults = sum(len(held.play(shape, number)) for number in range(seed, seed + count))
    print(
        f"{shape:10} whole runtimes: {count:>13,} schedules, {faults:>7,} faults, {time.monotonic() - began:5.1f} s",
        flush=True,
    )
    return count


if __name__ == "__main__":
    sys.exit(main())
