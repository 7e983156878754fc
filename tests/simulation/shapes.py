"""The workflows that are simulated: small ones, each of another shape, and what each must come to.

Owns the shapes and their ledgers: a ledger reads a log and says which result the run must have, without any replay. A
shape is small on purpose: every schedule of it is to be looked at. Read ``explorer.py`` for what happens to them.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Final

from holdfast import RetryPolicy, hook, set_attributes, step, step_info, workflow
from holdfast.errors import StepFailed
from holdfast.v1 import event_pb2

Log = Sequence[event_pb2.Event]
TOKEN: Final = "simulated"


@dataclass(slots=True)
class Work:
    """How long bodies take, in seconds of the loop, and the attempts that began: for who runs them for real."""

    seconds: Callable[[], float]
    begun: list[tuple[str, int]] = field(default_factory=list)

    async def do(self) -> None:
        """Be the body of an attempt."""
        info = step_info()
        self.begun.append((info.step_id, info.attempt))
        await asyncio.sleep(self.seconds())


class _Current:
    """What bodies do at the moment: one simulation plays at a time, and a body has the context of whoever began it."""

    work = Work(lambda: 0.0)


CURRENT: Final = _Current()


@step(name="simulated_a", retry=RetryPolicy(max_attempts=50))
async def a() -> str:
    await CURRENT.work.do()
    return "a"


@step(name="simulated_b", retry=RetryPolicy(max_attempts=50))
async def b() -> str:
    await CURRENT.work.do()
    return "b"


@step(name="simulated_once", retry=RetryPolicy(max_attempts=1))
async def once() -> str:
    await CURRENT.work.do()
    return "once"


@step(name="simulated_flaky", retry=RetryPolicy(max_attempts=50, initial_interval=60, max_interval=60, jitter=0))
async def flaky() -> str:
    await CURRENT.work.do()
    if step_info().attempt == 1:
        raise ValueError("the first attempt fails")
    return "flaky"


@step(name="simulated_undo", retry=RetryPolicy(max_attempts=50))
async def undo() -> str:
    await CURRENT.work.do()
    return "undo"


@workflow(name="simulated_race")
async def race() -> str:
    """A step, then a value against a deadline."""
    async with hook(str, token=TOKEN) as values:
        said = await a()
        try:
            async with asyncio.timeout(3600):
                return said + await values
        except TimeoutError:
            return said + "late"


@workflow(name="simulated_gathered")
async def gathered() -> str:
    """Two steps at once, and a value that may come at any time."""
    async with hook(str, token=TOKEN) as values:
        both = await asyncio.gather(a(), b())
        return "".join(both) + await values


@workflow(name="simulated_noted")
async def noted() -> str:
    """Decisions that no entity id protects, around a step and values."""
    async with hook(str, token=TOKEN) as values:
        await set_attributes(stage="first")
        first = await values
        await set_attributes(stage=first)
        second = await values
        await set_attributes(stage=first + second)
        return first + second


@workflow(name="simulated_fragile")
async def fragile() -> str:
    """A step with one attempt, which may be lost with its process, and what makes up for it."""
    try:
        return await once()
    except StepFailed:
        return await undo()


@workflow(name="simulated_retried")
async def retried() -> str:
    """A step whose first attempt fails, beside a deadline that is earlier than the second."""
    try:
        async with asyncio.timeout(30):
            return await flaky()
    except TimeoutError:
        return await b()


@workflow(name="simulated_cleaned")
async def cleaned() -> str:
    """A cancel request at any time, and a cleanup that is a step."""
    try:
        first = await a()
        await asyncio.sleep(3600)
        return first
    finally:
        await undo()


@dataclass(frozen=True, slots=True)
class Shape:
    """One workflow with what comes from outside. ``ledger``: the result that a log asks for; None: cancelled."""

    workflow: Callable[[], Coroutine[Any, Any, str]]
    ledger: Callable[[Log], str | None]
    values: tuple[str, ...] = ()
    may_be_cancelled: bool = False
    #: Step name → attempts that fail before one succeeds.
    failures: Mapping[str, int] = field(default_factory=lambda: MappingProxyType({}))


def _values(log: Log) -> list[tuple[int, str]]:
    return [(it.seq, json.loads(it.hook_received.payload.text)) for it in log if it.HasField("hook_received")]


def _first(log: Log, arm: str) -> int:
    return next((it.seq for it in log if it.HasField(arm)), 1 << 60)


def _race(log: Log) -> str:
    values = _values(log)
    return "a" + (values[0][1] if values and values[0][0] < _first(log, "wait_completed") else "late")


def _joined(before: str) -> Callable[[Log], str]:
    return lambda log: before + "".join(value for _, value in _values(log))


def _fragile(log: Log) -> str:
    return "once" if _first(log, "step_completed") < _first(log, "step_failed") else "undo"


def _retried(log: Log) -> str:
    return "flaky" if _first(log, "step_completed") < _first(log, "wait_completed") else "b"


def _cleaned(log: Log) -> str | None:
    """A request that comes before the cleanup is done ends the run as cancelled."""
    done = (it.seq for it in log if it.HasField("step_completed") and "simulated_undo" in it.correlation_id)
    return None if _first(log, "run_cancel_requested") < next(done, 1 << 60) else "a"


SHAPES: Final[Mapping[str, Shape]] = MappingProxyType(
    {
        "race": Shape(race, _race, values=("1", "2")),
        "gathered": Shape(gathered, lambda log: "ab" + _values(log)[0][1], values=("1",)),
        "noted": Shape(noted, _joined(""), values=("1", "2")),
        "fragile": Shape(fragile, _fragile),
        "retried": Shape(retried, _retried, failures=MappingProxyType({"simulated_flaky": 1})),
        "cleaned": Shape(cleaned, _cleaned, may_be_cancelled=True),
    }
)
