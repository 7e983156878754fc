"""What one attempt of a step leaves behind: results, failures, and the whole retry policy."""

from __future__ import annotations

import asyncio
import contextvars
import json
import threading
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest

from holdfast import FatalError, RetryableError, RetryPolicy, run_info, set_attributes, step, step_info
from holdfast.context import STEP, WORKFLOW
from holdfast.errors import LimitExceeded
from holdfast.limits import PAYLOAD_BYTES_MAX
from holdfast.serialization import decode_value
from holdfast.v1 import payload_pb2
from tests.support.attempts import DEADLINE_SECONDS, attempt_of, new_runner, now_ms, outcome_of, started


@dataclass
class Receipt:
    id: str
    cents: int


class CardDeclined(Exception):
    pass


class Unprintable(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no words")


async def test_a_result_is_encoded_by_its_annotation() -> None:
    @step
    async def charge(amount: int) -> Receipt:
        return Receipt("r1", amount)

    event = await outcome_of(charge, 250)
    assert json.loads(event.step_completed.output.text) == {"id": "r1", "cents": 250}
    assert event.correlation_id == "step_it#1"
    assert event.step_completed.attempt == 1
    assert event.HasField("occur_time")


async def test_a_plain_function_runs_in_a_thread_and_sees_its_step() -> None:
    @step
    def where() -> list[Any]:
        return [threading.current_thread() is threading.main_thread(), step_info().attempt]

    event = await outcome_of(where, attempt=3)
    assert json.loads(event.step_completed.output.text) == [False, 3]


async def test_a_body_runs_in_a_context_of_its_own() -> None:
    leak: contextvars.ContextVar[str] = contextvars.ContextVar("leak", default="clean")
    leak.set("dirty")
    seen: list[Any] = []

    @step
    async def look() -> None:
        seen.extend((leak.get(), WORKFLOW.get(), STEP.get() is not None))

    @step
    def look_in_thread() -> None:
        seen.extend((leak.get(), WORKFLOW.get(), STEP.get() is not None))

    await outcome_of(look)
    await outcome_of(look_in_thread)
    assert seen == ["clean", None, True] * 2


async def test_a_step_called_inside_a_step_is_a_plain_call() -> None:
    @step
    async def inner(value: int) -> int:
        return value + 1

    @step
    async def outer() -> int:
        return await inner(1)

    event = await outcome_of(outer)
    assert event.step_completed.output.text == "2"


async def test_step_info_is_the_same_for_every_attempt_but_its_number() -> None:
    @step
    async def who() -> list[Any]:
        info = step_info()
        return [info.run_id, info.step_id, info.attempt, info.started_at.timestamp(), info.idempotency_key]

    answers = [
        json.loads((await outcome_of(who, attempt=number, first_started_ms=5_000)).step_completed.output.text)
        for number in (1, 2)
    ]
    assert answers[0] == ["run_1", "step_it#1", 1, 5.0, "run_1:step_it#1"]
    assert answers[1] == ["run_1", "step_it#1", 2, 5.0, "run_1:step_it#1"]


async def test_a_failed_attempt_is_followed_by_another_after_its_delay() -> None:
    @step(retry=RetryPolicy(initial_interval=10, backoff=3, jitter=0))
    async def flaky() -> None:
        raise ValueError("not yet")

    before = now_ms()
    event = await outcome_of(flaky, attempt=2)
    assert event.step_retrying.failure.type == "ValueError"
    assert event.step_retrying.failure.message == "not yet"
    assert event.step_retrying.attempt == 2
    assert 30_000 <= event.step_retrying.retry_time.ToMilliseconds() - before < 35_000


async def test_the_last_attempt_fails_the_step() -> None:
    @step(retry=RetryPolicy(max_attempts=3))
    async def flaky() -> None:
        raise ValueError("never")

    event = await outcome_of(flaky, attempt=3)
    assert event.step_failed.failure.message == "never"
    assert event.step_failed.attempt == 3


async def test_a_retryable_error_sets_the_next_delay() -> None:
    @step
    async def busy() -> None:
        raise RetryableError("later", retry_after="10s")

    before = now_ms()
    event = await outcome_of(busy)
    assert 10_000 <= event.step_retrying.retry_time.ToMilliseconds() - before < 15_000


async def test_fatal_and_non_retryable_errors_never_retry() -> None:
    @step
    async def fatal() -> None:
        raise FatalError("no")

    @step(retry=RetryPolicy(non_retryable=(CardDeclined,)))
    async def declined() -> None:
        raise CardDeclined("insufficient funds")

    assert (await outcome_of(fatal)).HasField("step_failed")
    assert (await outcome_of(declined)).step_failed.failure.message == "insufficient funds"


async def test_a_failure_keeps_its_cause_and_its_traceback() -> None:
    @step(retry=RetryPolicy(max_attempts=1))
    async def wrapped() -> None:
        try:
            raise KeyError("inner")
        except KeyError as error:
            raise ValueError("outer") from error

    failure = (await outcome_of(wrapped)).step_failed.failure
    assert failure.cause.type == "KeyError"
    assert "test_attempts.py" in failure.stack_trace
    assert failure.category == payload_pb2.FAILURE_CATEGORY_APPLICATION


async def test_a_result_that_cannot_be_encoded_fails_the_step_at_once() -> None:
    @step
    async def odd() -> Any:
        return object()

    event = await outcome_of(odd)
    assert event.step_failed.failure.type.endswith("SerializationError")
    assert event.step_failed.failure.non_retryable


async def test_a_result_that_does_not_fit_its_annotation_fails_the_step_at_once() -> None:
    @step
    async def wrong() -> int:
        return "twelve"  # type: ignore[return-value]

    assert (await outcome_of(wrong)).step_failed.failure.type.endswith("SerializationError")


async def test_an_oversized_result_fails_the_step_with_the_limit() -> None:
    @step
    async def large() -> str:
        return "x" * (PAYLOAD_BYTES_MAX + 1)

    failure = (await outcome_of(large)).step_failed.failure
    assert failure.category == payload_pb2.FAILURE_CATEGORY_LIMIT
    assert failure.non_retryable
    assert str(PAYLOAD_BYTES_MAX) in failure.message


async def test_arguments_that_no_longer_fit_fail_the_step_at_once() -> None:
    @step
    async def charge(amount: int) -> int:
        return amount

    event = await outcome_of(charge, 1, input=payload_pb2.Payload(text='["much"]', metadata={"args": "positional"}))
    assert event.step_failed.failure.type.endswith("SerializationError")


async def test_a_body_that_raises_cancelled_error_by_itself_is_retried() -> None:
    @step
    async def lost() -> None:
        raise asyncio.CancelledError

    @step
    async def suicidal() -> None:
        task = asyncio.current_task()
        assert task is not None
        task.cancel()

    assert (await outcome_of(lost)).HasField("step_retrying")
    assert (await outcome_of(suicidal)).HasField("step_retrying")


async def test_a_body_that_wants_to_end_the_process_only_fails() -> None:
    @step
    async def leave() -> None:
        raise SystemExit(3)

    @step
    def interrupt() -> None:
        raise KeyboardInterrupt

    assert (await outcome_of(leave)).step_retrying.failure.type == "SystemExit"
    assert (await outcome_of(interrupt)).step_retrying.failure.type == "KeyboardInterrupt"


async def test_an_exception_that_cannot_be_described_still_ends_the_attempt() -> None:
    @step(retry=RetryPolicy(max_attempts=1))
    async def odd() -> None:
        raise Unprintable

    assert (await outcome_of(odd)).HasField("step_failed")


async def test_a_thread_slot_is_free_again_when_its_function_returned() -> None:
    @step
    def quick(number: int) -> int:
        return number

    runner = new_runner(threads=1)
    reports = [started(attempt_of(quick, number), runner)[1] for number in range(5)]
    outcomes = [await reported.outcome() for reported in reports]
    assert [event.step_completed.output.text for event in outcomes] == ["0", "1", "2", "3", "4"]


async def test_attributes_set_in_a_body_are_reported_before_its_result() -> None:
    @step
    async def label() -> None:
        await set_attributes(stage="paid", attempt=None)

    _, reported = started(attempt_of(label))
    await reported.outcome()
    first, last = reported.all
    assert dict(first.attributes_set.set) == {"stage": "paid"}
    assert list(first.attributes_set.removed) == ["attempt"]
    assert last.HasField("step_completed")


@pytest.mark.parametrize("is_plain", [False, True], ids=["async", "in a thread"])
async def test_an_attempt_that_sets_too_many_attributes_bit_by_bit_is_told_at_the_call(is_plain: bool) -> None:
    async def set_thrice() -> list[int]:
        counts = []
        for name in "abc":
            try:
                await set_attributes(**{f"{name}{number}": "x" for number in range(30)})
            except LimitExceeded as exceeded:
                assert (exceeded.limit, exceeded.max, exceeded.actual) == ("attributes", 64, 91)
            counts.append(len(run_info().attributes))
        await set_attributes(**{f"a{number}": None for number in range(30)})
        return [*counts, len(run_info().attributes)]

    @step
    def plain() -> list[int]:
        return asyncio.run(set_thrice())

    _, reported = started(attempt_of(plain if is_plain else step(set_thrice)))
    ended = await reported.outcome()
    assert ended.HasField("step_completed"), ended
    assert decode_value(list[int], ended.step_completed.output) == [31, 61, 61, 31]
    assert [len(event.attributes_set.set) for event in reported.all[:-1]] == [30, 30, 0]


@pytest.mark.parametrize("timeout", [None, timedelta(minutes=1)], ids=["no timeout", "with a timeout"])
async def test_a_closed_runner_cancels_its_bodies_and_reports_nothing(timeout: timedelta | None) -> None:
    begun, cancelled = asyncio.Event(), asyncio.Event()

    @step(timeout=timeout)
    async def endless() -> None:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()

    runner = new_runner()
    _, reported = started(attempt_of(endless), runner)
    async with asyncio.timeout(DEADLINE_SECONDS):
        await begun.wait()
        attempts = asyncio.all_tasks() - {asyncio.current_task()}
        runner.close()
        await asyncio.wait(attempts)
    assert cancelled.is_set() and reported.all == []
