"""A change of attributes is a decision like any other: other code that asks for another one diverges."""

from __future__ import annotations

from typing import Any

import pytest

from holdfast import ReplayDivergence, set_attributes, step, workflow
from holdfast.v1 import event_pb2
from tests.replay.rehearsal import Rehearsal, event, replayed


@step(name="attributes.work")
async def work() -> int:
    return 1


@workflow(name="attributes.recorded")
async def recorded() -> None:
    await set_attributes(stage="paid", coupon=None)
    await work()
    await set_attributes(stage="sent")


def log() -> list[event_pb2.Event]:
    run = Rehearsal(recorded)
    run.play()
    return run.log.events


def diverge(changed: Any) -> ReplayDivergence:
    with pytest.raises(ReplayDivergence) as caught:
        replayed(changed, log())
    return caught.value


def test_unchanged_changes_do_not_diverge() -> None:
    assert replayed(recorded, log()).is_ended


def test_another_value_names_both_changes_the_line_and_the_seq() -> None:
    @workflow(name="attributes.another_value")
    async def another_value() -> None:
        await set_attributes(stage="charged", coupon=None)
        await work()

    error = diverge(another_value)
    assert "stage='paid', no coupon" in error.expected
    assert "stage='charged', no coupon" in error.found
    assert error.found_source.startswith(__file__)
    assert log()[error.seq - 1].attributes_set.set == {"stage": "paid"}


def test_a_change_that_the_code_does_not_make_any_more_is_missed() -> None:
    @workflow(name="attributes.removed")
    async def removed() -> None:
        await work()
        await set_attributes(stage="sent")

    error = diverge(removed)
    assert "stage='paid'" in error.expected
    assert "attributes.work" in error.found


def test_two_changes_in_another_order_diverge() -> None:
    @workflow(name="attributes.swapped")
    async def swapped() -> None:
        await set_attributes(stage="sent")
        await work()
        await set_attributes(stage="paid", coupon=None)

    assert "stage='paid'" in diverge(swapped).expected


def test_the_change_of_a_step_is_never_taken_for_the_workflow_s_own() -> None:
    run = Rehearsal(recorded)
    told = event("attributes_set", set={"stage": "paid"}, removed=["coupon"])
    told.occur_time.FromMilliseconds(run.log.now_ms)
    run.say(told, is_decision=True)
    decided = run.settle()
    assert [it.WhichOneof("attributes") for it in decided] == ["attributes_set", "step_created"]
    assert replayed(recorded, run.log.events).take_decisions() == []
