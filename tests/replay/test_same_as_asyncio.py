"""A workflow body runs as the same code runs on CPython's own event loop: order, exception groups, cancellations.

Random programs of plain asyncio are played on both, and what they tell step by step must be the same, whether the
workflow is kept alive or replayed from the start at every turn. More of them, by the numbers of their seeds:
``python -m tests.replay.test_same_as_asyncio FIRST LAST``.
"""

from __future__ import annotations

import asyncio
import itertools
import selectors
import sys
from typing import Any

import pytest

from holdfast import workflow
from holdfast.testing import Environment
from tests.replay.asyncio_programs import CONSTRUCTS, LEAVES, played

SEEDS = range(60)


class JumpingLoop(asyncio.SelectorEventLoop):
    """CPython's loop, on which nobody waits: when nothing is ready, its time jumps to the next timer."""

    def __init__(self) -> None:
        self.now = 0.0
        super().__init__(JumpingSelector(self))

    def time(self) -> float:
        return self.now


class JumpingSelector(selectors.SelectSelector):
    def __init__(self, loop: JumpingLoop) -> None:
        super().__init__()
        self._loop = loop

    def select(self, timeout: float | None = None) -> list[Any]:
        self._loop.now += timeout or 0
        return super().select(0)


@workflow(name="same_as_asyncio")
async def playing(seed: int) -> list[str]:
    return await played(seed)


def on_cpython(seed: int) -> list[str]:
    with asyncio.Runner(loop_factory=JumpingLoop) as runner:
        return runner.run(played(seed))


async def in_a_workflow(seed: int, replay: Any = "always") -> list[str]:
    async with Environment(replay=replay) as env:
        return await env.run(playing, seed)


def comparable(trace: list[str]) -> list[str]:
    """Leave out what CPython itself leaves open: a group cancels its tasks in the order of a set, which is any.

    Then what happens at one moment is compared in any order; what happens at different ones always in its own.
    """
    if not any("begins groups" in line or "begins hands_over" in line for line in trace):
        return trace
    moments = itertools.groupby(trace, key=lambda line: line.partition(":")[0])
    return [line for _, lines in moments for line in sorted(lines)]


@pytest.mark.parametrize("seed", SEEDS)
def test_a_workflow_does_what_cpython_does(seed: int) -> None:
    expected = comparable(on_cpython(seed))
    assert comparable(asyncio.run(in_a_workflow(seed))) == expected
    assert comparable(asyncio.run(in_a_workflow(seed, "live"))) == expected


def test_the_programs_use_every_construct_and_end_in_every_way() -> None:
    told = "\n".join("\n".join(on_cpython(seed)) for seed in SEEDS)
    for construct in (*CONSTRUCTS, *LEAVES):
        assert f"begins {construct.__name__}," in told
    for what in ("ExceptionGroup[", "CancelledError(", "timed out, True", "swallows, 0 left", ", 2 cancellations"):
        assert what in told, what


if __name__ == "__main__":
    for chosen in range(int(sys.argv[1]), int(sys.argv[2])):
        assert comparable(asyncio.run(in_a_workflow(chosen))) == comparable(on_cpython(chosen)), chosen
