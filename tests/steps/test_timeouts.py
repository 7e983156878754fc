"""Bounds on attempts, heartbeats, and calling an attempt off: with real, short times."""

from __future__ import annotations

import asyncio
import json
import threading
from typing import Any

from holdfast import RetryPolicy, heartbeat, last_heartbeat, step
from holdfast.serialization import encode_value
from holdfast.v1 import payload_pb2
from runtime_service.steps.limits import HEARTBEAT_BYTES_MAX
from tests.support.attempts import DEADLINE_SECONDS, attempt_of, new_runner, now_ms, outcome_of, started


async def test_an_attempt_that_takes_too_long_is_cancelled_and_retried() -> None:
    cleaned = asyncio.Event()

    @step(timeout="30ms")
    async def slow() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            cleaned.set()

    event = await outcome_of(slow)
    assert cleaned.is_set()
    assert event.step_retrying.failure.category == payload_pb2.FAILURE_CATEGORY_TIMEOUT
    assert json.loads(event.step_retrying.failure.details.text)[0] == "attempt"


async def test_the_next_attempt_never_overlaps_with_the_cleanup_of_the_one_before() -> None:
    cleaning, released = asyncio.Event(), asyncio.Event()

    @step(timeout="20ms")
    async def slow() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            cleaning.set()
            await released.wait()

    _, reported = started(attempt_of(slow))
    await cleaning.wait()
    for _ in range(10):
        await asyncio.sleep(0)
    assert reported.all == []
    released.set()
    assert (await reported.outcome()).HasField("step_retrying")


async def test_a_body_that_swallows_its_cancellation_is_given_up_after_a_grace() -> None:
    stuck = asyncio.Event()

    @step(timeout="20ms")
    async def stubborn() -> str:
        while True:
            try:
                await stuck.wait()
                return "late"
            except asyncio.CancelledError:
                continue

    _, reported = started(attempt_of(stubborn), new_runner(cancel_grace_seconds=0.05))
    assert (await reported.outcome()).HasField("step_retrying")
    stuck.set()
    await asyncio.sleep(0)
    assert len(reported.all) == 1


async def test_a_thread_that_takes_too_long_is_left_behind_and_its_late_result_dropped() -> None:
    release, ended = threading.Event(), threading.Event()

    @step(timeout="30ms")
    def slow() -> str:
        release.wait(DEADLINE_SECONDS)
        ended.set()
        return "late"

    _, reported = started(attempt_of(slow))
    event = await reported.outcome()
    release.set()
    await asyncio.to_thread(ended.wait, DEADLINE_SECONDS)
    assert event.HasField("step_retrying")
    assert reported.all == [event]


async def test_the_bound_on_all_attempts_ends_the_step_for_good() -> None:
    @step(total_timeout="1h")
    async def slow() -> None:
        await asyncio.Event().wait()

    event = await outcome_of(slow, attempt=2, first_started_ms=now_ms() - 3_600_000 + 30)
    assert event.step_failed.failure.category == payload_pb2.FAILURE_CATEGORY_TIMEOUT
    assert event.step_failed.failure.non_retryable
    assert json.loads(event.step_failed.failure.details.text)[0] == "total"


async def test_a_retry_that_would_begin_after_the_total_bound_is_not_waited_for() -> None:
    @step(total_timeout="5s", retry=RetryPolicy(initial_interval="10s"))
    async def flaky() -> None:
        raise ValueError("why")

    failure = (await outcome_of(flaky)).step_failed.failure
    assert failure.category == payload_pb2.FAILURE_CATEGORY_TIMEOUT
    assert failure.cause.message == "why"


async def test_silence_ends_an_attempt_and_it_is_retried() -> None:
    @step(heartbeat_timeout="30ms")
    async def silent() -> None:
        await asyncio.Event().wait()

    event = await outcome_of(silent)
    assert json.loads(event.step_retrying.failure.details.text)[0] == "heartbeat"


async def test_heartbeats_keep_an_attempt_alive_longer_than_the_bound_on_silence() -> None:
    @step(heartbeat_timeout="300ms")
    def busy() -> str:
        pause = threading.Event()
        for number in range(12):
            heartbeat(number)
            pause.wait(0.05)
        return "done"

    event = await outcome_of(busy)
    assert event.step_completed.output.text == '"done"'


async def test_the_next_attempt_reads_what_the_one_before_reported_last() -> None:
    @step
    async def resumable() -> Any:
        earlier = last_heartbeat()
        if earlier is not None:
            return earlier
        heartbeat({"row": 1})
        heartbeat({"row": 2})
        raise ValueError("crash")

    first = await outcome_of(resumable)
    details = first.step_retrying.heartbeat_details
    second = await outcome_of(resumable, attempt=2, heartbeat_details=details)
    assert json.loads(second.step_completed.output.text) == {"row": 2}


async def test_details_survive_an_attempt_that_reported_none() -> None:
    @step
    async def silent() -> None:
        heartbeat()
        raise ValueError("crash")

    event = await outcome_of(silent, heartbeat_details=encode_value(Any, 7))
    assert event.step_retrying.heartbeat_details.text == "7"


async def test_heartbeat_details_that_are_too_large_are_refused_at_the_call() -> None:
    @step(retry=RetryPolicy(max_attempts=1))
    async def chatty() -> None:
        heartbeat("x" * HEARTBEAT_BYTES_MAX)

    assert "report a position" in (await outcome_of(chatty)).step_failed.failure.message


async def test_a_cancelled_attempt_fails_its_step_as_cancelled_after_its_cleanup() -> None:
    begun, cleaned = asyncio.Event(), asyncio.Event()

    @step
    async def long() -> None:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            cleaned.set()

    running, reported = started(attempt_of(long))
    await begun.wait()
    running.cancel("the workflow no longer waits", record=True)
    event = await reported.outcome()
    assert cleaned.is_set()
    assert event.step_failed.failure.category == payload_pb2.FAILURE_CATEGORY_CANCELLED
    assert event.step_failed.failure.message == "the workflow no longer waits"


async def test_an_attempt_called_off_without_record_reports_nothing() -> None:
    begun, cleaned = asyncio.Event(), asyncio.Event()

    @step
    async def long() -> str:
        begun.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cleaned.set()
        return "late"

    running, reported = started(attempt_of(long))
    await begun.wait()
    running.cancel("asked by the workflow", record=True)
    running.cancel("the lease is lost", record=False)
    await cleaned.wait()
    for _ in range(10):
        await asyncio.sleep(0)
    assert reported.all == []


async def test_a_body_that_had_ended_before_the_cancel_keeps_its_result() -> None:
    ended = asyncio.Event()

    @step
    async def quick() -> int:
        ended.set()
        return 1

    running, reported = started(attempt_of(quick))
    await ended.wait()
    await asyncio.sleep(0)
    running.cancel("too late", record=True)
    assert (await reported.outcome()).HasField("step_completed")


async def test_a_cancelled_plain_function_can_see_that_it_was() -> None:
    from holdfast.context import STEP

    begun, seen = threading.Event(), threading.Event()

    @step
    def polite() -> None:
        begun.set()
        context = STEP.get()
        assert context is not None
        pause = threading.Event()
        while not context.is_cancelled:
            pause.wait(0.005)
        seen.set()

    running, reported = started(attempt_of(polite))
    await asyncio.to_thread(begun.wait, DEADLINE_SECONDS)
    running.cancel("enough", record=True)
    await reported.outcome()
    assert await asyncio.to_thread(seen.wait, DEADLINE_SECONDS)


async def test_waiting_for_a_thread_is_not_counted_against_the_attempt() -> None:
    release = threading.Event()

    @step
    def hog() -> None:
        release.wait(DEADLINE_SECONDS)

    @step(timeout="500ms", heartbeat_timeout="500ms")
    def quick() -> str:
        return "done"

    runner = new_runner(threads=1)
    _, first = started(attempt_of(hog), runner)
    _, second = started(attempt_of(quick), runner)
    # Time that passes is what the promise is about: more than the second attempt may take.
    await asyncio.sleep(0.7)
    release.set()
    await first.outcome()
    assert (await second.outcome()).step_completed.output.text == '"done"'
