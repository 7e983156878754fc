"""Time, chance, attributes and identity: where they come from, and where they refuse."""

from __future__ import annotations

import asyncio
import random as real_random
import time
import uuid as real_uuid
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

import holdfast
from holdfast import LimitExceeded, WrongContext, heartbeat, last_heartbeat, run_info, set_attributes, sleep, step_info
from tests.authoring.desk import STARTED, in_step, in_workflow


def test_in_a_workflow_time_and_chance_come_from_the_log() -> None:
    with in_workflow():
        assert holdfast.now() == STARTED
        assert holdfast.random().random() == real_random.Random(7).random()
        assert holdfast.uuid4() == real_uuid.UUID(int=7, version=4)


def test_in_a_step_time_and_chance_are_the_real_ones() -> None:
    with in_workflow(), in_step():
        assert abs(holdfast.now() - datetime.now(UTC)) < timedelta(minutes=1)
        assert holdfast.uuid4() != holdfast.uuid4()
        assert isinstance(holdfast.random(), real_random.Random)


class Timers(asyncio.SelectorEventLoop):
    """An event loop that keeps the delays it was asked for, and lets all of them pass at once."""

    def __init__(self) -> None:
        super().__init__()
        self.delays: list[float] = []

    def call_later(self, delay: float, callback: Callable[..., object], *args: Any, context: Any = None) -> Any:
        self.delays.append(delay)
        return super().call_later(0, callback, *args, context=context)


@pytest.mark.parametrize(
    ("delay", "seconds"),
    [
        ("1h 30m", 5400),
        (2.5, 2.5),
        (timedelta(days=1), 86400),
        (STARTED + timedelta(hours=2), 7200),
    ],
)
def test_sleep_takes_words_seconds_timedeltas_and_aware_moments(delay: Any, seconds: float) -> None:
    loop = Timers()
    try:
        with in_workflow():
            loop.run_until_complete(sleep(delay))
    finally:
        loop.close()
    assert loop.delays == [seconds]


def test_a_sleep_until_the_past_is_over_at_once() -> None:
    loop = Timers()
    try:
        with in_workflow():
            loop.run_until_complete(sleep(STARTED - timedelta(days=1)))
    finally:
        loop.close()
    assert loop.delays == []


def test_a_bad_sleep_is_refused_at_the_call() -> None:
    for wrong in ("soon", -1, datetime(2030, 1, 1)):
        with in_workflow(), pytest.raises(ValueError, match="sleep"):
            sleep(wrong)


def test_outside_workflows_sleep_is_a_plain_sleep() -> None:
    began = time.monotonic()
    asyncio.run(sleep("20ms"))
    assert time.monotonic() - began >= 0.02


def test_sleep_and_hook_in_a_step_are_in_the_wrong_place() -> None:
    with in_step():
        with pytest.raises(WrongContext, match=r"asyncio\.sleep"):
            sleep(1)
        with pytest.raises(WrongContext, match="workflow"):
            holdfast.hook()


def test_a_hook_outside_a_workflow_is_in_the_wrong_place() -> None:
    with pytest.raises(WrongContext):
        holdfast.hook()


def test_a_step_knows_itself_and_its_run() -> None:
    with in_step() as bench:
        assert step_info() is bench.info
        assert (step_info().attempt, step_info().idempotency_key) == (2, "run_1/step_1")
        assert run_info().run_id == "run_1"


def test_a_workflow_knows_its_run_but_is_no_step() -> None:
    with in_workflow():
        assert run_info().workflow_name == "shop.checkout"
        assert (run_info().parent_run_id, run_info().root_run_id) == (None, None)
        for primitive in (step_info, heartbeat, last_heartbeat):
            with pytest.raises(WrongContext):
                primitive()


def test_outside_there_is_no_run_and_no_step() -> None:
    for primitive in (run_info, step_info):
        with pytest.raises(WrongContext):
            primitive()
    with pytest.raises(WrongContext):
        set_attributes(a="b")


def test_a_heartbeat_reaches_the_attempt_and_does_nothing_in_a_plain_call() -> None:
    with in_step() as bench:
        heartbeat({"row": 8})
        assert last_heartbeat() == {"row": 7}
    assert bench.heartbeats == [{"row": 8}]
    heartbeat(1)
    assert last_heartbeat() is None


async def test_attributes_are_set_and_removed_in_workflows_and_steps() -> None:
    with in_workflow() as desk:
        await set_attributes(stage="paid", attempt="1")
        await set_attributes(attempt=None)
    assert desk.attributes == {"stage": "paid"}
    with in_step() as bench:
        await set_attributes(stage="shipped")
    assert bench.attributes == {"stage": "shipped"}


@pytest.mark.parametrize(
    ("changes", "limit"),
    [
        ({f"k{i}": "x" for i in range(65)}, "attributes"),
        ({"k" * 257: "x"}, "attribute_key_chars"),
        ({"": "x"}, "attribute_key_chars"),
        ({"k": "é" * 129}, "attribute_value_bytes"),
    ],
)
def test_attribute_limits_are_told_at_the_call(changes: dict[str, str], limit: str) -> None:
    with in_workflow() as desk, pytest.raises(LimitExceeded) as refused:
        set_attributes(**changes)
    assert refused.value.limit == limit
    assert refused.value.actual != refused.value.max
    assert desk.attributes == {}


async def test_the_limit_on_attributes_counts_those_that_are_there() -> None:
    with in_workflow():
        await set_attributes(**{f"k{i}": "x" for i in range(64)})
        await set_attributes(k0="again", k1=None, k64="new")
        with pytest.raises(LimitExceeded, match="too many"):
            set_attributes(k65="one too many")


def test_attributes_are_text() -> None:
    with in_workflow(), pytest.raises(TypeError, match="must be text"):
        set_attributes(attempt=3)  # type: ignore[arg-type]


@pytest.mark.parametrize("changes", [{"a\nb": "x"}, {"\x00": None}, {"k": "\ud800"}], ids=ascii)
def test_attributes_that_no_store_takes_are_refused_at_the_call(changes: dict[str, str | None]) -> None:
    with in_workflow() as desk, pytest.raises(ValueError, match="must have no"):
        set_attributes(**changes)
    assert desk.attributes == {}
