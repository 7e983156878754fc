"""Field checks of StepWorkerService, for its unary calls and its stream alike. A refused one changed nothing."""

from __future__ import annotations

from holdfast.queues import DEFAULT_QUEUE, checked_queue, goes_out
from holdfast.refusal import Refusal, invalid_field
from holdfast.v1 import error_pb2, payload_pb2
from holdfast.v1 import step_worker_service_pb2 as pb
from runtime_service.api import checks
from runtime_service.api import limits as api_limits
from runtime_service.api.payloads import as_stored
from runtime_service.names import step_queue
from runtime_service.steps.limits import HEARTBEAT_BYTES_MAX
from runtime_service.tasks import limits

#: Failures that led to a failure: as many as the store takes.
_CAUSES_MAX = 10


def queues_of(step_filter: pb.StepFilter, field: str = "filter") -> list[str]:
    """Return the queues of tasks that a worker takes from. Raises INVALID_FIELD."""
    if not 1 <= len(step_filter.step_names) <= limits.STEP_NAMES_MAX:
        raise invalid_field(f"{field}.step_names", f"must be 1 to {limits.STEP_NAMES_MAX} names of steps")
    for index, name in enumerate(step_filter.step_names):
        path = f"{field}.step_names[{index}]"
        checks.check_text(name, path, chars_max=api_limits.NAME_CHARS_MAX, may_be_empty=False)
    try:
        checked_queue(step_filter.queue, "it")
    except ValueError as error:
        raise invalid_field(f"{field}.queue", str(error)) from None
    if not goes_out(step_filter.queue):
        raise invalid_field(
            f"{field}.queue",
            f"must name a queue; steps without one, or of {DEFAULT_QUEUE!r}, run where their run is held",
        )
    return list(dict.fromkeys(step_queue(step_filter.queue, name) for name in step_filter.step_names))


def check_worker(worker_id: str, field: str = "worker_id") -> None:
    """Refuse a worker without a name, or with a long one."""
    checks.check_text(worker_id, field, chars_max=limits.WORKER_CHARS_MAX, may_be_empty=False)


def details_of(request: pb.HeartbeatStepRequest) -> payload_pb2.Payload | None:
    """Return the details of a heartbeat as they are stored, None when there are none. Raises TOO_LARGE."""
    if not request.HasField("details"):
        return None
    details = as_stored(request.details, "details")
    size = details.ByteSize()
    if size > HEARTBEAT_BYTES_MAX:
        raise Refusal(
            "TOO_LARGE",
            f"details: take {size} bytes, at most {HEARTBEAT_BYTES_MAX} are accepted: report a position",
            metadata={"limit": "heartbeat_bytes", "max": HEARTBEAT_BYTES_MAX, "actual": size},
            detail=error_pb2.LimitExceeded(limit="heartbeat_bytes", max=HEARTBEAT_BYTES_MAX, actual=size),
        )
    return details


def output_of(request: pb.CompleteStepRequest) -> payload_pb2.Payload:
    """Return the result as it is stored. Raises TOO_LARGE, INVALID_FIELD."""
    return as_stored(request.output, "output")


def failure_of(request: pb.FailStepRequest) -> payload_pb2.Failure:
    """Return the failure as it is recorded. Raises INVALID_FIELD, TOO_LARGE."""
    if not request.HasField("failure"):
        raise invalid_field("failure", "is not set; say what went wrong")
    failure = payload_pb2.Failure()
    failure.CopyFrom(request.failure)
    link, depth = failure, 0
    while True:
        checks.check_known(link.category, payload_pb2.FailureCategory, "failure.category")
        link.category = link.category or payload_pb2.FAILURE_CATEGORY_APPLICATION
        if link.HasField("details"):
            link.details.CopyFrom(as_stored(link.details, "failure.details"))
        if not link.HasField("cause"):
            return failure
        link, depth = link.cause, depth + 1
        if depth > _CAUSES_MAX:
            raise invalid_field("failure", f"has more than {_CAUSES_MAX} causes of causes")


def retry_delay_ms(request: pb.FailStepRequest) -> int | None:
    """Return the delay that the worker asks for, None when it leaves that to the policy."""
    if not request.HasField("retry_delay"):
        return None
    return checks.duration_ms(request, "retry_delay", default=0, least=0, most=limits.RETRY_DELAY_MS_MAX)
