"""The requests of a client and the meaning of its answers, without a wire between them.

Owns the checks at the call: what is wrong with an argument is told where it is written, before anything is sent. The
clients (``holdfast/client.py``) send; this module never does.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from google.protobuf import duration_pb2
from ulid import ULID

from holdfast.definitions import WorkflowDefinition, definition_of
from holdfast.durations import moment_ms
from holdfast.errors import RunCancelled, RunFailed, WrongContext
from holdfast.failures import from_failure
from holdfast.limits import REASON_CHARS_MAX, check_attributes, check_payload, exceeded
from holdfast.primitives import current_workflow
from holdfast.serialization import decode_result, decode_value, encode_args, encode_plain_args, encode_value
from holdfast.v1 import entity_pb2, event_pb2, payload_pb2, runtime_service_pb2

_RUN_ID: Final = re.compile(r"[A-Za-z0-9_.:-]{1,128}")

#: State of a run as people write it → as the contract does.
STATUSES: Final[Mapping[str, entity_pb2.RunStatus.ValueType]] = {
    "pending": entity_pb2.RUN_STATUS_PENDING,
    "running": entity_pb2.RUN_STATUS_RUNNING,
    "completed": entity_pb2.RUN_STATUS_COMPLETED,
    "failed": entity_pb2.RUN_STATUS_FAILED,
    "cancelled": entity_pb2.RUN_STATUS_CANCELLED,
}
_WORDS: Final = {number: word for word, number in STATUSES.items()}

_POLICIES: Final = {
    "fail": runtime_service_pb2.RUN_CONFLICT_POLICY_FAIL,
    "use_existing": runtime_service_pb2.RUN_CONFLICT_POLICY_USE_EXISTING,
}


def check_place() -> None:
    """Raise WrongContext in a workflow body: what a client does there would happen again in every replay."""
    if current_workflow() is not None:
        raise WrongContext("a workflow body cannot call a runtime: move the call into a step")


def new_request_id() -> str:
    """Mint a request id: one for each thing that must happen once, reused by every retry of it."""
    check_place()
    return str(ULID())


def new_run_id() -> str:
    """Mint the id of a run."""
    check_place()
    return f"run_{ULID.from_datetime(datetime.now(UTC))}"


def workflow_of(workflow: object) -> WorkflowDefinition | None:
    """Return the definition of a decorated workflow, None for a name. Raises TypeError for anything else."""
    if isinstance(workflow, str):
        return None
    definition = definition_of(workflow)
    if not isinstance(definition, WorkflowDefinition):
        raise TypeError(f"expected a function with @workflow or the name of one, got {workflow!r}")
    return definition


def start_request(
    workflow: object,
    args: Sequence[Any],
    kwargs: Mapping[str, Any],
    *,
    run_id: str | None,
    attributes: Mapping[str, str],
    start_at: datetime | None,
    on_conflict: str,
) -> runtime_service_pb2.StartRunRequest:
    """Build a start. Raises SerializationError, ValueError, TypeError or LimitExceeded for a bad argument."""
    request = child_request(
        workflow, args, kwargs, run_id=run_id, attributes=attributes, start_at=start_at, on_conflict=on_conflict
    )
    # Made here, not by the runtime: a retry after a lost reply must ask for the same run.
    request.run_id = request.run_id or new_run_id()
    request.request_id = new_request_id()
    return request


def child_request(
    workflow: object,
    args: Sequence[Any],
    kwargs: Mapping[str, Any],
    *,
    run_id: str | None,
    attributes: Mapping[str, str],
    start_at: datetime | None,
    on_conflict: str,
) -> runtime_service_pb2.StartRunRequest:
    """Build a start as far as the arguments say it: without a request id, and without a run id when none is given.

    Deterministic, so that workflows may use it; raises as ``start_request`` does.
    """
    definition = workflow_of(workflow)
    name = definition.name if definition is not None else str(workflow)
    request = runtime_service_pb2.StartRunRequest(
        workflow_name=name,
        input=_input(definition, name, args, kwargs),
        run_id="" if run_id is None else checked_run_id(run_id),
        attributes=_checked_attributes(attributes),
        conflict_policy=_policy(on_conflict),
        version=definition.version if definition is not None else "",
    )
    if definition is not None and definition.timeout_ms is not None:
        request.timeout.CopyFrom(milliseconds(definition.timeout_ms))
    if start_at is not None:
        request.start_time.FromMilliseconds(moment_ms(start_at, "start_at"))
    return request


def resume_request(token: str, value: Any, request_id: str | None) -> runtime_service_pb2.ResumeHookRequest:
    """Build a resume. Raises SerializationError or LimitExceeded for the value."""
    payload = check_payload(encode_value(Any, value), "the value for a hook")
    return runtime_service_pb2.ResumeHookRequest(
        token=token, payload=payload, request_id=request_id or new_request_id()
    )


def rerun_request(created: event_pb2.RunCreated) -> runtime_service_pb2.StartRunRequest:
    """Build the start of a run like another one: its workflow, input, attributes and bound, under a new id."""
    request = runtime_service_pb2.StartRunRequest(
        workflow_name=created.workflow_name,
        input=created.input,
        run_id=new_run_id(),
        request_id=new_request_id(),
        attributes=created.attributes,
        version=created.version,
    )
    if created.HasField("timeout"):
        request.timeout.CopyFrom(created.timeout)
    return request


def cancel_request(
    run_id: str, reason: str, force: bool, recursive: bool = False
) -> runtime_service_pb2.CancelRunRequest:
    """Build a cancellation. Raises LimitExceeded for a long reason."""
    if len(reason) > REASON_CHARS_MAX:
        raise exceeded("reason_chars", REASON_CHARS_MAX, len(reason), "the reason to cancel is too long")
    return runtime_service_pb2.CancelRunRequest(run_id=run_id, reason=reason, force=force, recursive=recursive)


def find_request(
    workflow: object | None, status: str | Iterable[str] | None, attributes: Mapping[str, str]
) -> runtime_service_pb2.FindRunsRequest:
    """Build a search for runs. Raises ValueError for an unknown state."""
    words = [status] if isinstance(status, str) else list(status or ())
    definition = None if workflow is None else workflow_of(workflow)
    return runtime_service_pb2.FindRunsRequest(
        workflow_name=definition.name if definition is not None else str(workflow or ""),
        statuses=[_status(word) for word in words],
        attributes=_checked_attributes(attributes),
        page_size=100,
    )


def status_word(run: entity_pb2.Run) -> str:
    """Return the state of a run: "pending", "running", "completed", "failed" or "cancelled"."""
    return _WORDS[run.status]


def result_of(run: entity_pb2.Run, workflow: WorkflowDefinition | None) -> Any:
    """Return the result of a run that has ended, by the annotation of its workflow when that is known, else plain JSON.

    Raises RunFailed with the original error as its cause, or RunCancelled.
    """
    if run.status == entity_pb2.RUN_STATUS_FAILED:
        raise RunFailed(run.run_id, run.failure) from from_failure(run.failure)
    if run.status == entity_pb2.RUN_STATUS_CANCELLED:
        raise RunCancelled(run.run_id, run.cancel_reason)
    if workflow is not None:
        return decode_result(workflow, run.output)
    return decode_value(Any, run.output)


def milliseconds(value: int) -> duration_pb2.Duration:
    """Build a Duration from milliseconds."""
    return duration_pb2.Duration(seconds=value // 1000, nanos=value % 1000 * 1_000_000)


def _input(
    definition: WorkflowDefinition | None, name: str, args: Sequence[Any], kwargs: Mapping[str, Any]
) -> payload_pb2.Payload:
    if definition is not None:
        return encode_args(definition, args, kwargs)
    return encode_plain_args(f"workflow {name}", args, kwargs)


def checked_run_id(run_id: object) -> str:
    """Return the id of a run. Raises ValueError for one that cannot be."""
    if not isinstance(run_id, str) or not _RUN_ID.fullmatch(run_id):
        raise ValueError(f"id must be 1 to 128 of A-Z a-z 0-9 _ . : -, got {run_id!r}")
    return run_id


def _checked_attributes(attributes: Mapping[str, str]) -> dict[str, str]:
    check_attributes(attributes)
    found = {key: value for key, value in attributes.items() if value is not None}
    if len(found) != len(attributes):
        raise TypeError("attributes must be text, None is for set_attributes()")
    return found


def _policy(word: str) -> runtime_service_pb2.RunConflictPolicy.ValueType:
    if word not in _POLICIES:
        raise ValueError(f"on_conflict must be one of {', '.join(_POLICIES)}, got {word!r}")
    return _POLICIES[word]


def _status(word: str) -> entity_pb2.RunStatus.ValueType:
    if word not in STATUSES:
        raise ValueError(f"status must be one of {', '.join(STATUSES)}, got {word!r}")
    return STATUSES[word]
