"""StartRun: everything that can be wrong with a start is refused before anything is written.

The run id may be left to the store: then a retry with the same request id is the same write, and finds the run
of the first try. Nothing that differs between two runtimes may be in the event, for the same reason.
"""

from __future__ import annotations

from holdfast.definitions import Registry, WorkflowDefinition
from holdfast.errors import NotRegistered, RunExists, SerializationError
from holdfast.refusal import Refusal, invalid_field
from holdfast.sealing import Sealing
from holdfast.serialization import decode_args
from holdfast.tracing import NOBODY, Carrier
from holdfast.v1 import event_pb2, runtime_service_pb2, store_service_pb2
from runtime_service import spans
from runtime_service.api import checks, limits
from runtime_service.api.front import Front
from runtime_service.api.payloads import as_stored, is_plain_json, readable
from runtime_service.names import run_queue
from runtime_service.store import milliseconds

Request = runtime_service_pb2.StartRunRequest
Response = runtime_service_pb2.StartRunResponse


async def start_run(front: Front, request: Request, caller: Carrier = NOBODY) -> Response:
    """Start a run, or find the one that has the id when the request asks for that. ``caller`` is its trace context."""
    with spans.starting(request.workflow_name, caller) as carrier:
        return await _start_run(front, request, carrier)


async def _start_run(front: Front, request: Request, carrier: Carrier) -> Response:
    check_start(request)
    workflow = find_workflow(front.worker.registry, request.workflow_name)
    create = store_service_pb2.CreateEventRequest(
        run_id=request.run_id, request_id=request.request_id, event=run_created(request, workflow, front.store.sealing)
    )
    create.event.trace_context.update(carrier)
    try:
        answer = await front.worker.create_run(create)
    except RunExists:
        if request.conflict_policy != runtime_service_pb2.RUN_CONFLICT_POLICY_USE_EXISTING:
            raise
        return Response(run=await front.run(request.run_id), created=False)
    return Response(run=answer.run, created=True)


def check_start(request: Request) -> None:
    """Refuse a malformed request."""
    checks.check_text(request.workflow_name, "workflow_name", chars_max=limits.NAME_CHARS_MAX, may_be_empty=False)
    if request.run_id:
        checks.check_run_id(request.run_id)
    checks.check_request_id(request.request_id)
    checks.check_known(request.conflict_policy, runtime_service_pb2.RunConflictPolicy, "conflict_policy")
    checks.check_attributes(request.attributes)
    checks.check_positive(request, "timeout")
    checks.check_text(request.version, "version", chars_max=limits.VERSION_CHARS_MAX)


def find_workflow(registry: Registry, name: str) -> WorkflowDefinition:
    """Look a workflow up; refuses with NOT_REGISTERED and the names that come near."""
    try:
        return registry.workflow(name)
    except NotRegistered as error:
        raise Refusal("NOT_REGISTERED", f"this runtime: {error}", metadata={"workflow_name": name}) from None


def run_created(request: Request, workflow: WorkflowDefinition, sealing: Sealing) -> event_pb2.Event:
    """Build the first event of the run; refuses an input that the workflow's annotations do not take.

    A run of another version than the one here is left to a runtime that has it, and so is the check of its input.
    """
    payload = as_stored(request.input, "input")
    read = readable(payload, sealing, "input")
    is_own_version = request.version in ("", workflow.version)
    if is_own_version and (is_plain_json(read) or read.WhichOneof("body") is None):
        try:
            decode_args(workflow, read)
        except (SerializationError, TypeError) as error:
            raise invalid_field("input", str(error), workflow=workflow.name) from None
    event = event_pb2.Event()
    created = event.run_created
    created.workflow_name = workflow.name
    created.input.CopyFrom(payload)
    created.version = request.version or workflow.version
    created.attributes.update(request.attributes)
    created.wake_queue = run_queue(created.workflow_name, created.version)
    if request.HasField("timeout"):
        created.timeout.CopyFrom(request.timeout)
    elif workflow.timeout_ms is not None:
        created.timeout.CopyFrom(milliseconds(workflow.timeout_ms))
    if request.HasField("start_time"):
        created.start_time.CopyFrom(request.start_time)
    return event
