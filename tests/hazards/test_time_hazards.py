"""Timers, wake-ups and clocks (hazards 3 and 24 to 27) on real processes: never early, never lost, never in the way."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from pathlib import Path

from google.protobuf import duration_pb2

from holdfast.v1 import event_pb2, queue_service_pb2
from tests.hazards.stage import Stage, eventually
from tests.storms.faults import LeapingWall
from tests.storms.store_calls import RUN_QUEUE, Event, output, until_answered

MONTHS_SECONDS = 90 * 24 * 3600.0


async def states(stage: Stage, run_id: str) -> list[int]:
    """Return the states of the messages of a run."""
    return sorted(message.state for message in await stage.calls.waiting_messages(run_id))


def due_and_fired(log: list[Event]) -> list[tuple[int, int]]:
    """Return when each wait was due and when it fired, in epoch milliseconds."""
    due = {it.correlation_id: it.wait_created.resume_time.ToMilliseconds() for it in log if it.HasField("wait_created")}
    fired = [it for it in log if it.HasField("wait_completed")]
    return [(due[it.correlation_id], it.create_time.ToMilliseconds()) for it in fired]


async def test_a_clock_set_a_year_ahead_and_back_fires_no_timer_early_and_steals_no_lease(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    try:
        await stage.begin(LeapingWall(ahead=0.5, back=1.5))
        await stage.runtime()
        await stage.runtime()
        began = time.monotonic()
        await stage.start("run_sleep", "naps", 1, 2.0)
        await stage.start("run_step", "one_step", str(stage.folder))
        log = await stage.ended("run_sleep")
        # While the clock is being corrected it runs at most a tenth too fast.
        assert time.monotonic() - began >= 2.0 * 0.9
        assert all(fired >= due for due, fired in due_and_fired(log))
        stage.allow()
        assert output(await stage.ended("run_step")) == 1
        assert len(stage.marks) == 1
    finally:
        await stage.end()


async def test_timers_armed_again_and_again_are_never_lost(stage: Stage) -> None:
    # Without lingering every sleep is a message given back while it is in delivery: the key of the old one must not
    # swallow the new one.
    await stage.runtime(linger_ms=0)
    await stage.runtime(linger_ms=0)
    await stage.start("run_1", "naps", 15, 0.05)
    log = await stage.ended("run_1")
    assert output(log) == 15
    fired = due_and_fired(log)
    assert len(fired) == 15
    assert all(fired_ms >= due_ms for due_ms, fired_ms in fired)
    await stage.calls.emptied("run_1", 10)


async def test_a_wake_up_sent_while_the_run_is_delivered_is_delivered_after(stage: Stage) -> None:
    holder = await stage.runtime()
    await stage.start("run_1", "step_and_hook", str(stage.folder), "token")
    await stage.marked("gated")
    holder.freeze()
    await stage.calls.send("token", "value", request_id="value")
    leased, ready = queue_service_pb2.QUEUE_MESSAGE_STATE_LEASED, queue_service_pb2.QUEUE_MESSAGE_STATE_READY
    assert await states(stage, "run_1") == sorted([leased, ready])
    await holder.kill()
    stage.allow()
    await stage.runtime()
    assert output(await stage.ended("run_1")) == ["value", 2]
    await stage.calls.emptied("run_1", 10)


async def test_a_sleep_of_months_costs_nothing_and_survives_restarts(stage: Stage) -> None:
    runtime = await stage.runtime(linger_ms=0)
    await stage.start("run_1", "naps", 1, MONTHS_SECONDS)
    due_ms = await _delayed_until(stage, "run_1")
    for service in (runtime, stage.store):
        await service.kill()
        await service.start()
    now_ms = datetime.now(UTC).timestamp() * 1000
    assert abs(due_ms - now_ms - MONTHS_SECONDS * 1000) < 60_000
    assert await _delayed_until(stage, "run_1") == due_ms
    assert not any(event.HasField("wait_completed") for event in await stage.calls.log("run_1"))
    fired = Event(correlation_id="wait_#1", wait_completed=event_pb2.WaitCompleted())
    await stage.calls.append("run_1", fired, request_id="early")
    assert output(await stage.ended("run_1")) == 1


async def _delayed_until(stage: Stage, run_id: str) -> int:
    """Wait until the run is let go with one message that is due much later, and return when."""

    async def look() -> int:
        messages = await stage.calls.waiting_messages(run_id)
        ready = queue_service_pb2.QUEUE_MESSAGE_STATE_READY
        due = [it.deliver_time.ToMilliseconds() for it in messages if it.state == ready]
        return due[0] if len(messages) == 1 and due and due[0] > (time.time() + 3600) * 1000 else 0

    return int(await eventually(look, "the run was not let go with a delayed message"))


async def test_a_sleep_into_the_past_ends_at_once(stage: Stage) -> None:
    await stage.runtime()
    await stage.start("run_1", "past")
    assert output(await stage.ended("run_1")) == "at once"


async def test_a_sleep_over_a_restart_of_both_services_ends_when_due_and_not_before(stage: Stage) -> None:
    runtime = await stage.runtime()
    await stage.start("run_1", "naps", 1, 1.5)

    async def is_asleep() -> bool:
        return any(event.HasField("wait_created") for event in await stage.calls.log("run_1"))

    await eventually(is_asleep, "the run did not go to sleep")
    await runtime.kill()
    await stage.store.kill()
    await stage.store.start()
    await runtime.start()
    [(due_ms, fired_ms)] = due_and_fired(await stage.ended("run_1"))
    assert 0 <= fired_ms - due_ms < 2_000


async def test_a_long_step_keeps_neither_a_timer_nor_a_hook_from_winning(stage: Stage) -> None:
    await stage.runtime()
    await stage.start("run_1", "races", str(stage.folder), "token")
    await stage.marked("gated")
    await stage.calls.send("token", "value", request_id="value")
    await stage.marked("value")
    stage.allow()
    log = await stage.ended("run_1")
    assert output(log) == ["timer", "value", 1]
    assert sum(event.HasField("step_started") for event in log) == 2


async def test_a_dead_letter_never_swallows_a_run(stage: Stage) -> None:
    # A consumer that dies on every delivery uses none up for a runtime: the wake-up is there for the next one.
    await stage.start("run_1", "naps", 1, 0.01)
    request = queue_service_pb2.ReceiveMessagesRequest(
        queues=[RUN_QUEUE], max_messages=1, lease_duration=duration_pb2.Duration(nanos=1_000_000)
    )
    for _ in range(30):
        await until_answered(stage.calls.queue.ReceiveMessages, request)
    await stage.runtime()
    assert output(await stage.ended("run_1")) == 1
