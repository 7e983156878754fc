"""Changed code meets an old log: it says exactly where, and the instance gives no decisions after it."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from holdfast import ReplayDivergence, hook, sleep, step, workflow
from holdfast.v1 import event_pb2, payload_pb2
from runtime_service.replay import divergence
from tests.replay.rehearsal import Rehearsal, event, json_payload, replayed


@step(name="div.charge")
async def charge(amount: int) -> int:
    return amount


@step(name="div.refund")
async def refund(amount: int) -> int:
    return amount


@workflow(name="div.old")
async def old(amount: int) -> int:
    await charge(amount)
    await sleep(10)
    async with hook(int, token="answer") as answers:
        await answers
    return amount


def recorded() -> list[event_pb2.Event]:
    run = Rehearsal(old, 5)
    run.settle()
    run.complete("step_div.charge#1", 5)
    run.settle()
    run.fire("wait_#1")
    run.settle()
    run.send("hook_#1", 1)
    run.settle()
    assert run.instance.is_ended
    return run.log.events


def diverge(workflow: Any, events: list[event_pb2.Event] | None = None) -> ReplayDivergence:
    with pytest.raises(ReplayDivergence) as caught:
        replayed(workflow, recorded() if events is None else events)
    return caught.value


def test_the_unchanged_code_does_not_diverge() -> None:
    assert replayed(old, recorded()).is_ended


def test_another_step_in_its_place_names_both_calls_both_lines_and_the_seq() -> None:
    @workflow(name="div.other_step")
    async def other_step(amount: int) -> int:
        await refund(amount)
        return amount

    error = diverge(other_step)
    assert error.seq == 3
    assert "div.charge" in error.expected
    assert "div.refund" in error.found
    assert error.expected_source.startswith(__file__)
    assert error.found_source.startswith(__file__)
    assert error.expected_source != error.found_source
    assert "event 3" in str(error)


def test_other_arguments_are_shown_side_by_side() -> None:
    @workflow(name="div.other_arguments")
    async def other_arguments(amount: int) -> int:
        await charge(amount + 1)
        return amount

    error = diverge(other_arguments)
    assert "5" in error.expected
    assert "6" in error.found
    assert error.seq == 3


def test_a_sleep_that_was_removed_is_missed() -> None:
    @workflow(name="div.no_sleep")
    async def no_sleep(amount: int) -> int:
        await charge(amount)
        async with hook(int, token="answer") as answers:
            await answers
        return amount

    error = diverge(no_sleep)
    assert "wait_#1" in error.expected
    assert "hook_#1" in error.found


def test_a_step_added_before_others_is_found() -> None:
    @workflow(name="div.added")
    async def added(amount: int) -> int:
        await charge(amount)
        await refund(amount)
        await sleep(10)
        return amount

    error = diverge(added)
    assert "wait_#1" in error.expected
    assert "div.refund" in error.found


def test_another_token_is_a_divergence() -> None:
    @workflow(name="div.other_token")
    async def other_token(amount: int) -> int:
        await charge(amount)
        await sleep(10)
        async with hook(int, token="another") as answers:
            await answers
        return amount

    error = diverge(other_token)
    assert "'answer'" in error.expected
    assert "'another'" in error.found


def test_code_that_goes_on_past_the_recorded_end_diverges() -> None:
    @workflow(name="div.longer")
    async def longer(amount: int) -> int:
        await charge(amount)
        await sleep(10)
        async with hook(int, token="answer") as answers:
            await answers
            await refund(amount)
        return amount

    error = diverge(longer)
    assert "the disposal of hook hook_#1" in error.expected
    assert "div.refund" in error.found


def test_another_end_than_the_recorded_one_diverges() -> None:
    @workflow(name="div.other_result")
    async def other_result(amount: int) -> int:
        await charge(amount)
        await sleep(10)
        async with hook(int, token="answer") as answers:
            await answers
        return amount + 1

    @workflow(name="div.raising")
    async def raising(amount: int) -> int:
        await charge(amount)
        await sleep(10)
        async with hook(int, token="answer") as answers:
            await answers
        raise ValueError("changed")

    assert "6" in diverge(other_result).found
    assert "ValueError" in diverge(raising).found


def test_a_longer_sleep_is_no_divergence_and_the_recorded_time_counts() -> None:
    @workflow(name="div.longer_sleep")
    async def longer_sleep(amount: int) -> int:
        await charge(amount)
        await sleep(1000)
        return amount

    events = recorded()
    created = next(it for it in events if it.HasField("wait_created"))
    instance = replayed(longer_sleep, events[: created.seq])
    assert instance.open_waits() == {"wait_#1": created.wait_created.resume_time.ToMilliseconds()}


def test_a_call_added_beside_others_is_no_divergence() -> None:
    @workflow(name="div.beside")
    async def beside(amount: int) -> int:
        extra = asyncio.create_task(refund(amount))
        await charge(amount)
        await extra
        return amount

    instance = replayed(beside, recorded()[:3])
    assert [it.step_created.step_name for it in instance.take_decisions()] == ["div.refund"]


def test_json_that_is_spelled_another_way_is_the_same_argument() -> None:
    events = recorded()
    events[2].step_created.input.text = " [ 5 ] "
    assert replayed(old, events).is_ended


def test_a_diverged_instance_is_dead() -> None:
    @workflow(name="div.dead")
    async def dead(amount: int) -> int:
        return amount

    events = recorded()
    instance = replayed(dead, events[:2])
    for _ in range(2):
        with pytest.raises(ReplayDivergence):
            instance.deliver(events[2])
    assert isinstance(instance.failure, ReplayDivergence)


@pytest.mark.parametrize(
    "fact",
    [
        event("step_completed", "step_other#1", attempt=1),
        event("wait_completed", "wait_#9"),
        event("hook_received", "hook_#9", payload=json_payload(1)),
        event("hook_disposed", "hook_#9"),
    ],
    ids=lambda it: str(it.WhichOneof("attributes")),
)
def test_a_fact_about_something_never_called_is_a_divergence(fact: event_pb2.Event) -> None:
    run = Rehearsal(old, 5)
    run.settle()
    with pytest.raises(ReplayDivergence, match=fact.correlation_id):
        run.say(fact)


def test_an_event_of_an_unknown_kind_stops_a_replay_unless_it_may_be_skipped() -> None:
    run = Rehearsal(old, 5)
    run.settle()
    unknown = event_pb2.Event(seq=run.instance.position + 1, type=77, ignorable=True)  # type: ignore[arg-type]
    run.instance.deliver(unknown)
    unknown = event_pb2.Event(seq=run.instance.position + 1, type=77)  # type: ignore[arg-type]
    with pytest.raises(ReplayDivergence, match="older than the log"):
        run.instance.deliver(unknown)


@pytest.mark.parametrize("kind", ["run_completed", "run_failed", "run_cancelled"])
def test_a_recorded_end_that_the_code_has_not_come_to_is_a_divergence(kind: str) -> None:
    run = Rehearsal(old, 5)
    with pytest.raises(ReplayDivergence, match="not end"):
        run.say(event(kind), is_decision=True)


TEXT, OTHER = payload_pb2.Payload(text="1"), payload_pb2.Payload(text="2")
BYTES = payload_pb2.Payload(data=b"1")
ENCRYPTED = payload_pb2.Payload(data=b"\x00", content_encoding="codec")


@pytest.mark.parametrize(
    ("recorded", "found", "is_same"),
    [
        (TEXT, TEXT, True),
        (TEXT, OTHER, False),
        (TEXT, BYTES, False),
        (BYTES, payload_pb2.Payload(data=b"2"), False),
        (TEXT, payload_pb2.Payload(), False),
        (payload_pb2.Payload(), TEXT, False),
        (payload_pb2.Payload(text="[1, 2]"), payload_pb2.Payload(text="[1,2]"), True),
        (payload_pb2.Payload(text="no json"), payload_pb2.Payload(text="nor this"), False),
        (ENCRYPTED, TEXT, True),
        (TEXT, ENCRYPTED, True),
    ],
)
def test_payloads_are_the_same_when_they_hold_one_value(recorded: Any, found: Any, is_same: bool) -> None:
    assert divergence.is_same_payload(recorded, found) is is_same


@pytest.mark.parametrize(("length", "shown"), [(200, "x" * 200), (201, "x" * 200 + "…")])
def test_a_long_argument_is_cut_in_a_report(length: int, shown: str) -> None:
    assert divergence._shown(payload_pb2.Payload(text="x" * length)) == shown


def test_bytes_are_shown_by_their_size() -> None:
    assert divergence._shown(BYTES) == "1 bytes"
