"""Says in words what a run waits for: the answer of `holdfast why`.

Pure: a description of the run and the time go in, sentences come out. The order is that of helpfulness: an ended or
blocked run explains itself alone, then what is running, then what is asleep.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from typing import Final

from google.protobuf.timestamp_pb2 import Timestamp

from holdfast.cli.rendering import brief, local_time, moment
from holdfast.queues import goes_out
from holdfast.v1 import entity_pb2
from holdfast.v1.runtime_service_pb2 import DescribeRunResponse


def explain(answer: DescribeRunResponse, now: datetime) -> list[str]:
    """Return the sentences that say why the run is where it is; never empty."""
    run = answer.run
    if ended := _ENDED.get(run.status):
        return [f"{run.run_id} {ended(run)} at {local_time(run.complete_time)}. It waits for nothing."]
    sentences = list(_standing(answer, now))
    for step in answer.open_steps:
        sentences.append(_STEP[step.status](step, now))
    sentences.extend(
        f"{hook.hook_id} waits for a value: `holdfast resume {hook.token} --data JSON`"
        f"{f' ({hook.received_count} came so far)' if hook.received_count else ''}."
        for hook in answer.open_hooks
    )
    sentences.extend(f"{wait.wait_id} sleeps until {_due(wait.resume_time, now)}." for wait in answer.open_waits)
    return sentences or [f"{run.run_id} is being executed; nothing that it waits for is on record."]


def _standing(answer: DescribeRunResponse, now: datetime) -> Iterator[str]:
    """What holds for the run as a whole."""
    run = answer.run
    if answer.HasField("last_replay_failure"):
        failure = answer.last_replay_failure
        yield (
            f"{run.run_id} is blocked ({failure.type or 'replay'}): {failure.message.strip()} "
            f"It goes on by itself once the code is fixed; `holdfast wake {run.run_id}` tries at once."
        )
    elif run.status == entity_pb2.RUN_STATUS_PENDING:
        yield f"{run.run_id} waits for a runtime that knows the workflow {run.workflow_name!r} to take it."
    if run.cancel_requested:
        yield "Its cancellation was requested; the workflow is cleaning up."
    if run.HasField("expire_time"):
        yield f"It fails by timeout at {_due(run.expire_time, now)}."


def _pending_step(step: entity_pb2.Step, now: datetime) -> str:
    if step.attempt == 0 and goes_out(step.queue):
        return f"{step.step_id} ({step.step_name}) waits for a runtime or worker that serves the queue {step.queue}."
    if step.attempt == 0:
        return f"{step.step_id} ({step.step_name}) waits for its first attempt."
    failure = brief(f"{step.failure.type}: {step.failure.message}")
    return (
        f"{step.step_id} ({step.step_name}) failed in attempt {step.attempt} with {failure}; "
        f"attempt {step.attempt + 1} begins at {_due(step.retry_time, now)}."
    )


def _running_step(step: entity_pb2.Step, now: datetime) -> str:
    by = f" by {step.worker_id}" if step.worker_id else ""
    since = _span(now - moment(step.update_time))
    return f"{step.step_id} ({step.step_name}) is running attempt {step.attempt}{by}, since {since}."


def _due(stamp: Timestamp, now: datetime) -> str:
    left = moment(stamp) - now
    return f"{local_time(stamp)} ({f'in {_span(left)}' if left > timedelta() else 'due now'})"


def _span(span: timedelta) -> str:
    """A duration in its two largest units."""
    seconds = max(0, int(span.total_seconds()))
    if seconds < 1:
        return "less than a second"
    parts = [(seconds // 86_400, "d"), (seconds // 3_600 % 24, "h"), (seconds // 60 % 60, "min"), (seconds % 60, "s")]
    return " ".join([f"{count} {unit}" for count, unit in parts if count][:2])


_ENDED: Final[dict[int, Callable[[entity_pb2.Run], str]]] = {
    entity_pb2.RUN_STATUS_COMPLETED: lambda run: "completed",
    entity_pb2.RUN_STATUS_FAILED: lambda run: f"failed with {run.failure.type}: {run.failure.message}",
    entity_pb2.RUN_STATUS_CANCELLED: lambda run: f"was cancelled ({run.cancel_reason or 'no reason given'})",
}

_STEP: Final[dict[int, Callable[[entity_pb2.Step, datetime], str]]] = {
    entity_pb2.STEP_STATUS_PENDING: _pending_step,
    entity_pb2.STEP_STATUS_RUNNING: _running_step,
}
