"""The refusals of byte streams, with messages that stand alone.

Owns their wording, like ``refusals.py`` for the log. It must never decide whether to refuse.
"""

from __future__ import annotations

from holdfast.refusal import Refusal, invalid_field
from holdfast.v1 import entity_pb2, error_pb2, event_pb2
from store_service.engines.contract import RunRow
from store_service.rules import refusals
from store_service.rules.stream_authors import Author


def stream_not_found(run_id: str, name: str) -> Refusal:
    return Refusal(
        "RESOURCE_NOT_FOUND",
        f"run {run_id} has no stream {name}; it exists from its first chunk on",
        metadata={"run_id": run_id, "stream": name},
    )


def stream_closed(run_id: str, name: str, next_index: int) -> Refusal:
    return Refusal(
        "STREAM_CLOSED",
        f"stream {name} of run {run_id} was closed after {next_index} chunks and takes no more; write to another name",
        metadata={"run_id": run_id, "stream": name, "next_index": next_index},
    )


def run_ended(run: RunRow, name: str) -> Refusal:
    state = refusals.status_name(None, run.status)
    return Refusal(
        "RUN_TERMINAL",
        f"run {run.run_id} is {state} since event {run.terminal_seq}; its stream {name} takes no more chunks",
        metadata={"run_id": run.run_id, "stream": name, "current_status": state, "current_seq": run.terminal_seq},
        detail=error_pb2.IllegalTransition(run_id=run.run_id, current_status=state, current_seq=run.terminal_seq),
    )


def not_running(author: Author, step: entity_pb2.Step) -> Refusal:
    state = entity_pb2.StepStatus.Name(step.status)
    return Refusal(
        "ILLEGAL_TRANSITION",
        f"attempt {author.attempt} of step {author.step_id} of run {author.run_id} does not run: the step is {state} "
        f"at attempt {step.attempt}; only the running attempt may write",
        metadata={
            "run_id": author.run_id,
            "step_id": author.step_id,
            "attempt": author.attempt,
            "current_attempt": step.attempt,
            "current_status": state,
        },
        detail=error_pb2.IllegalTransition(
            run_id=author.run_id,
            correlation_id=author.step_id,
            attempted=event_pb2.EVENT_TYPE_UNSPECIFIED,
            current_status=state,
        ),
    )


def numbers_skipped(field: str, given: int, expected: int) -> Refusal:
    return invalid_field(
        field,
        f"is {given}, but the next chunk of this writer is {expected}; go on with {expected}",
        writer_chunk=given,
        next_writer_chunk=expected,
    )


def stream_quota(run_id: str, name: str, limit: str, most: int, actual: int) -> Refusal:
    return Refusal(
        "QUOTA_EXCEEDED",
        f"stream {name} of run {run_id} would make {actual} {limit}, more than {most}",
        metadata={"run_id": run_id, "stream": name, "limit": limit, "max": most, "actual": actual},
        detail=error_pb2.LimitExceeded(limit=limit, max=most, actual=actual),
    )
