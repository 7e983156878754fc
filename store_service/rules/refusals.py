"""The refusals of a write, each with its typed detail and a message that stands alone.

Owns their wording: every message names the thing, what was expected and what to do next, and every id and number in
it is in the metadata too. It must never decide whether to refuse; ``admission.py`` and ``append.py`` do. Stale
snapshots, which need the log, are ``staleness.py``.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

from holdfast.refusal import Refusal
from holdfast.v1 import entity_pb2, error_pb2, event_pb2
from store_service.engines.contract import EntityKind, TokenRow
from store_service.rules import clock
from store_service.rules.kinds import KINDS

_STATUSES: Final[Mapping[EntityKind | None, Any]] = MappingProxyType(
    {
        None: entity_pb2.RunStatus,
        EntityKind.STEP: entity_pb2.StepStatus,
        EntityKind.HOOK: entity_pb2.HookStatus,
        EntityKind.WAIT: entity_pb2.WaitStatus,
    }
)


def status_name(kind: EntityKind | None, status: int) -> str:
    """Return the enum name of a status; ``kind`` None is the run."""
    name: str = _STATUSES[kind].Name(status)
    return name


def run_not_found(run_id: str) -> Refusal:
    return Refusal("RUN_NOT_FOUND", f"run {run_id} does not exist", metadata={"run_id": run_id})


def entity_not_found(run_id: str, kind: EntityKind, entity_id: str) -> Refusal:
    name = kind.name.lower()
    return Refusal(
        "ENTITY_NOT_FOUND",
        f"run {run_id} has no {name} {entity_id}",
        metadata={"run_id": run_id, f"{name}_id": entity_id},
    )


def exists(run_id: str, entity_id: str, created_seq: int, is_same: bool, index: int) -> Refusal:
    """Build RUN_EXISTS (``entity_id`` "") or ENTITY_EXISTS."""
    what = f"{entity_id} of run {run_id}" if entity_id else f"run {run_id}"
    how = "with the same content: take it for done" if is_same else "with other content: use another id"
    return Refusal(
        "ENTITY_EXISTS" if entity_id else "RUN_EXISTS",
        f"{what} exists since event {created_seq}, {how}",
        metadata={"run_id": run_id, "created_seq": created_seq} | ({"correlation_id": entity_id} if entity_id else {}),
        detail=_exists_detail(run_id, entity_id, created_seq, is_same, index),
    )


def started_already(run_id: str, started_seq: int, index: int) -> Refusal:
    """Build the refusal of a second run_started, which a caller may take for done."""
    return Refusal(
        "ENTITY_EXISTS",
        f"run {run_id} was started by event {started_seq}: take it for done",
        metadata={"run_id": run_id, "created_seq": started_seq},
        detail=_exists_detail(run_id, "", started_seq, True, index),
    )


def _exists_detail(run_id: str, entity_id: str, seq: int, is_same: bool, index: int) -> error_pb2.EntityExists:
    return error_pb2.EntityExists(
        run_id=run_id, correlation_id=entity_id, created_seq=seq, same_content=is_same, event_index=index
    )


def run_terminal(run_id: str, event_type: int, status: int, terminal_seq: int, index: int) -> Refusal:
    attempted, state = KINDS[event_type].arm, status_name(None, status)
    return Refusal(
        "RUN_TERMINAL",
        f"run {run_id} ended with event {terminal_seq} ({state}) and takes no {attempted}",
        metadata={"run_id": run_id, "current_seq": terminal_seq, "current_status": state, "attempted": attempted},
        detail=_transition_detail(run_id, "", event_type, state, terminal_seq, index),
    )


def illegal_for_run(run_id: str, event_type: int, status: int, head_seq: int, index: int) -> Refusal:
    attempted, state = KINDS[event_type].arm, status_name(None, status)
    return Refusal(
        "ILLEGAL_TRANSITION",
        f"run {run_id} is {state} at event {head_seq} and takes no {attempted} yet: run_started comes first",
        metadata={"run_id": run_id, "current_seq": head_seq, "current_status": state, "attempted": attempted},
        detail=_transition_detail(run_id, "", event_type, state, head_seq, index),
    )


def illegal_for_entity(
    event: event_pb2.Event, run_id: str, event_type: int, status: int, current_seq: int, index: int, why: str = ""
) -> Refusal:
    """Build ILLEGAL_TRANSITION of a step, hook or wait; ``why`` says more than its state does."""
    kind, entity_id = KINDS[event_type], event.correlation_id
    state = status_name(kind.entity, status)
    message = f"{entity_id} of run {run_id} is {state} since event {current_seq} and takes no {kind.arm}"
    return Refusal(
        "ILLEGAL_TRANSITION",
        f"{message}: {why}" if why else message,
        metadata={
            "run_id": run_id,
            "correlation_id": entity_id,
            "current_seq": current_seq,
            "current_status": state,
            "attempted": kind.arm,
        },
        detail=_transition_detail(run_id, entity_id, event_type, state, current_seq, index),
    )


def _transition_detail(
    run_id: str, entity_id: str, event_type: int, state: str, seq: int, index: int
) -> error_pb2.IllegalTransition:
    return error_pb2.IllegalTransition(
        run_id=run_id,
        correlation_id=entity_id,
        attempted=event_pb2.EventType.ValueType(event_type),
        current_status=state,
        current_seq=seq,
        event_index=index,
    )


def retry_too_early(run_id: str, step_id: str, retry_ms: int, now_ms: int) -> Refusal:
    return Refusal(
        "RETRY_TOO_EARLY",
        f"step {step_id} of run {run_id} may start again at {retry_ms} ms, in {retry_ms - now_ms} ms",
        metadata={"run_id": run_id, "step_id": step_id, "retry_ms": retry_ms, "wait_ms": retry_ms - now_ms},
        detail=error_pb2.RetryTooEarly(run_id=run_id, step_id=step_id, retry_time=clock.to_timestamp(retry_ms)),
        retry_after_ms=retry_ms - now_ms,
    )


def token_conflict(holder: TokenRow) -> Refusal:
    return Refusal(
        "HOOK_TOKEN_CONFLICT",
        f"token {holder.token} belongs to hook {holder.hook_id} of run {holder.run_id}; use another token",
        metadata={"token": holder.token, "holder_hook_id": holder.hook_id, "holder_run_id": holder.run_id},
        detail=error_pb2.HookTokenConflict(
            token=holder.token, holder_run_id=holder.run_id, holder_hook_id=holder.hook_id
        ),
    )


def quota_exceeded(run_id: str, limit: str, max_count: int, actual: int) -> Refusal:
    return Refusal(
        "QUOTA_EXCEEDED",
        f"run {run_id} would have {actual} {limit}, more than {max_count}",
        metadata={"run_id": run_id, "limit": limit, "max": max_count, "actual": actual},
        detail=error_pb2.LimitExceeded(limit=limit, max=max_count, actual=actual),
    )
