"""`holdfast why` says in words what a run waits for."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from holdfast.cli.explaining import explain
from holdfast.v1 import entity_pb2
from holdfast.v1.runtime_service_pb2 import DescribeRunResponse

NOW = datetime(2025, 3, 1, 12, 0, tzinfo=UTC)


def described(status: int = entity_pb2.RUN_STATUS_RUNNING) -> DescribeRunResponse:
    return DescribeRunResponse(run=entity_pb2.Run(run_id="run_1", workflow_name="checkout", status=status))


def test_a_failed_attempt_names_the_error_and_the_time_of_the_next() -> None:
    answer = described()
    step = answer.open_steps.add(step_id="step_charge#1", step_name="charge", attempt=2)
    step.status = entity_pb2.STEP_STATUS_PENDING
    step.failure.type, step.failure.message = "CardDeclined", "no funds"
    step.retry_time.FromDatetime(NOW + timedelta(seconds=75))
    (sentence,) = explain(answer, NOW)
    assert "failed in attempt 2 with CardDeclined: no funds" in sentence
    assert "attempt 3 begins" in sentence
    assert "in 1 min 15 s" in sentence


def test_a_running_step_tells_since_when_and_by_whom() -> None:
    answer = described()
    step = answer.open_steps.add(step_id="step_charge#1", step_name="charge", attempt=1, worker_id="rt_7")
    step.status = entity_pb2.STEP_STATUS_RUNNING
    step.update_time.FromDatetime(NOW - timedelta(hours=2, seconds=5))
    (sentence,) = explain(answer, NOW)
    assert "attempt 1 by rt_7, since 2 h 5 s" in sentence


def test_a_step_that_nobody_took_names_the_queue_that_nobody_serves() -> None:
    answer = described()
    step = answer.open_steps.add(step_id="step_render#1", step_name="render", queue="gpu")
    step.status = entity_pb2.STEP_STATUS_PENDING
    assert "waits for a runtime or worker that serves the queue gpu" in explain(answer, NOW)[0]


def test_an_open_hook_comes_with_the_command_that_resumes_it() -> None:
    answer = described()
    answer.open_hooks.add(hook_id="hook_#1", token="order:42")
    assert "holdfast resume order:42 --data JSON" in explain(answer, NOW)[0]


def test_a_sleep_tells_when_it_ends() -> None:
    answer = described()
    answer.open_waits.add(wait_id="wait_#1").resume_time.FromDatetime(NOW + timedelta(days=3, hours=1))
    assert "in 3 d 1 h" in explain(answer, NOW)[0]


def test_a_blocked_run_tells_the_reason_and_the_way_out_first() -> None:
    answer = described()
    answer.open_hooks.add(hook_id="hook_#1", token="t")
    answer.last_replay_failure.type = "ReplayDivergence"
    answer.last_replay_failure.message = "expected charge, found refund at app.py:12"
    first = explain(answer, NOW)[0]
    assert "blocked" in first
    assert "app.py:12" in first
    assert "holdfast wake run_1" in first


@pytest.mark.parametrize(
    ("status", "word"),
    [
        (entity_pb2.RUN_STATUS_COMPLETED, "completed"),
        (entity_pb2.RUN_STATUS_FAILED, "failed with"),
        (entity_pb2.RUN_STATUS_CANCELLED, "was cancelled"),
    ],
)
def test_an_ended_run_waits_for_nothing(status: int, word: str) -> None:
    (sentence,) = explain(described(status), NOW)
    assert word in sentence
    assert "waits for nothing" in sentence


def test_a_pending_run_names_the_workflow_that_nobody_has_taken() -> None:
    assert "'checkout'" in explain(described(entity_pb2.RUN_STATUS_PENDING), NOW)[0]


def test_a_run_with_nothing_open_still_gets_a_sentence() -> None:
    assert explain(described(), NOW)
