"""Running one attempt of a step in a test, with the real runner, and reading what it reported.

Deadlines in tests are real and short; nothing sleeps to wait for something: a body waits on events, a test on outcomes.
"""

from __future__ import annotations

import asyncio
import random
import time
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from holdfast.context import RunInfo
from holdfast.definitions import StepDefinition, definition_of
from holdfast.serialization import encode_args
from holdfast.v1 import event_pb2
from runtime_service.steps.runner import Attempt, Outcome, RunningAttempt, StepRunner

RUN = RunInfo("run_1", "audit", datetime(2026, 1, 1, tzinfo=UTC), {"customer": "42"}, None, None)

#: Seconds after which a test that waits for an outcome has failed.
DEADLINE_SECONDS = 10.0


def now_ms() -> int:
    """The clock of facts in these tests."""
    return int(time.time() * 1000)


def new_runner(**options: Any) -> StepRunner:
    """Build a runner whose jitter is the same in every test run."""
    return StepRunner(**{"threads": 4, "now_ms": now_ms, "rng": random.Random(7), **options})


def attempt_of(step: Any, *args: Any, **changes: Any) -> Attempt:
    """Build the first attempt of a decorated step with these arguments; ``changes`` are fields of Attempt."""
    definition = definition_of(step)
    assert isinstance(definition, StepDefinition)
    first = Attempt("step_it#1", definition, encode_args(definition, args, {}), 1, RUN, now_ms())
    return replace(first, **changes)


class Reported:
    """Collects what an attempt reports. ``all`` holds every event; ``outcome()`` waits for the one that ends it."""

    def __init__(self) -> None:
        self.all: list[event_pb2.Event] = []
        self._ended = asyncio.Event()

    def __call__(self, outcome: Outcome) -> None:
        self.all.append(outcome.event)
        if outcome.ends_attempt:
            self._ended.set()

    async def outcome(self) -> event_pb2.Event:
        async with asyncio.timeout(DEADLINE_SECONDS):
            await self._ended.wait()
        return self.all[-1]


def started(attempt: Attempt, runner: StepRunner | None = None) -> tuple[RunningAttempt, Reported]:
    """Start an attempt; returns it and what it reports."""
    reported = Reported()
    return (runner or new_runner()).start(attempt, reported), reported


async def outcome_of(step: Any, *args: Any, **changes: Any) -> event_pb2.Event:
    """Run one attempt of a decorated step to its end and return the event that ended it."""
    _, reported = started(attempt_of(step, *args, **changes))
    return await reported.outcome()
