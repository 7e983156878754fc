"""Processes that stand still for longer than a lease, runtimes and the store in turn, lose nothing and double nothing.

The runs and the checks are those of the network (``tests/network/lab.py``); here the network is good and the processes
are stopped with SIGSTOP, as a machine does that swaps or is moved. Longer ones with HOLDFAST_PAUSE_SECONDS.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.network.lab import RUN_SECONDS, RUNS, Lab, laboratory

#: Seconds of a pause: beyond the leases of a second that runtimes have here.
PAUSE_SECONDS = float(os.environ.get("HOLDFAST_PAUSE_SECONDS", "1.3"))


async def paused(lab: Lab) -> None:
    """Runtimes and the store stand still in turn, one at a time, and now and then two."""
    victims = [lab.runtimes[0], lab.store, lab.runtimes[1]]
    while True:
        for number, victim in enumerate(victims):
            frozen = [victim] if number else [victim, lab.runtimes[1]]
            for service in frozen:
                service.freeze()
            try:
                await lab.pause(PAUSE_SECONDS, PAUSE_SECONDS * 1.2)
            finally:
                for service in frozen:
                    service.thaw()
            await lab.pause(0.1, 0.4)


@pytest.mark.slow
@pytest.mark.timeout(3 * RUN_SECONDS + 100 * PAUSE_SECONDS)
async def test_pauses_of_runtimes_and_the_store_change_nothing(tmp_path: Path) -> None:
    async with laboratory(tmp_path) as lab:
        await lab.run_through(paused, seconds=max(1, RUNS) * 4 * PAUSE_SECONDS)
