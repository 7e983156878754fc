"""Whatever the network does between runtime, store and client, runs end as they would without it.

Each test is one kind of weather around the same runs (see ``lab.py``): short here, at any length by
HOLDFAST_NETWORK_RUNS (`make storm`). A connection that hangs for good takes seconds to be noticed and is
``test_half_open.py``.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import random
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.network.lab import RUN_SECONDS, RUNS, SEED, Lab, Weather, laboratory
from tests.support.rpc_proxy import CallFault, doubled, replies_lost

#: Seconds of each weather while it changes.
MOMENT_SECONDS = 0.3

#: Bytes after which a connection is cut: HTTP/2 frames have a head of 9, most messages here are a few hundred.
CUT_AFTER_BYTES = (1, 400)


async def delayed(lab: Lab) -> None:
    """Every byte is late, sometimes more and sometimes less."""
    while True:
        for way in (lab.any_proxy().up, lab.any_proxy().down):
            way.delay_seconds = lab.rng.choice((0.0, 0.01, 0.04, 0.1))
        await lab.pause(0.02, 0.2)


async def cut(lab: Lab) -> None:
    """Connections are reset."""
    while True:
        await lab.pause(0.05, 0.4)
        lab.any_proxy().cut()


async def cut_inside_a_frame(lab: Lab) -> None:
    """Connections are reset in the middle of what they carry, in either direction."""
    while True:
        proxy = lab.any_proxy()
        lab.rng.choice((proxy.up, proxy.down)).cut_after = lab.rng.randint(*CUT_AFTER_BYTES)
        await lab.pause(0.05, 0.4)


async def deaf(lab: Lab) -> None:
    """One way only: requests get through and answers do not, for some time; they come late, or never."""
    while True:
        await lab.pause(0.05, 0.2)
        proxy = lab.any_proxy()
        with proxy.stalled(proxy.down):
            await lab.pause(0.05, 0.5)
            if lab.rng.random() < 0.5:
                proxy.cut()


async def mute(lab: Lab) -> None:
    """One way only: answers get through and requests do not, for some time; they come late, or never."""
    while True:
        await lab.pause(0.05, 0.2)
        proxy = lab.any_proxy()
        with proxy.stalled(proxy.up):
            await lab.pause(0.05, 0.5)
            if lab.rng.random() < 0.5:
                proxy.cut()


async def trickling(lab: Lab) -> None:
    """One byte a second, in either direction or both."""
    while True:
        await lab.pause(0.05, 0.3)
        proxy = lab.any_proxy()
        ways = lab.rng.choice(((proxy.up,), (proxy.down,), (proxy.up, proxy.down)))
        for way in ways:
            way.bytes_per_second = 1.0
        await lab.pause(0.1, 0.5)
        for way in ways:
            way.bytes_per_second = 0.0


async def unreachable(lab: Lab) -> None:
    """Nobody gets through, now and then."""
    while True:
        await lab.pause(0.1, 0.4)
        with lab.any_proxy().unreachable():
            await lab.pause(0.1, 0.6)


async def clear(lab: Lab) -> None:
    """No weather: what is wrong is in the calls."""


WEATHERS = (delayed, cut, cut_inside_a_frame, deaf, mute, trickling, unreachable)


async def changing(lab: Lab) -> None:
    """One after the other, each for a moment."""
    for weather in itertools.cycle(WEATHERS):
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(MOMENT_SECONDS):
                await weather(lab)
        lab.clear()


#: What the suite has time for; `make storm` takes each by itself.
CHOSEN = (changing, *WEATHERS) if RUNS > 1 else (changing, cut_inside_a_frame, deaf, mute)


@pytest.mark.timeout(3 * RUN_SECONDS)
@pytest.mark.parametrize("weather", CHOSEN, ids=lambda it: it.__name__)
async def test_runs_end_as_they_would_on_a_good_network(weather: Weather, tmp_path: Path) -> None:
    async with laboratory(tmp_path) as lab:
        await lab.run_through(weather)


CALL_FAULTS: dict[str, Callable[[random.Random], CallFault]] = {
    "calls-made-twice": doubled,
    "answers-lost": lambda rng: replies_lost(rng, 0.15),
}


@pytest.mark.timeout(3 * RUN_SECONDS)
@pytest.mark.slow
@pytest.mark.parametrize("fault", CALL_FAULTS.values(), ids=CALL_FAULTS)
async def test_calls_made_twice_or_never_answered_change_nothing(
    fault: Callable[[random.Random], CallFault], tmp_path: Path
) -> None:
    async with laboratory(tmp_path, fault(random.Random(SEED))) as lab:
        await lab.run_through(clear)
