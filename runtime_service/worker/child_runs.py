"""What the built-in steps of a workflow do to other runs: start a child, ask for its state, cancel it.

The ``RunsPort`` of a runtime. An attempt that is repeated after a crash starts nothing twice: its request id and the
child's id are the same. Errors come as they are; which of them are final is the policy of the built-in steps.
"""

from __future__ import annotations

import hashlib
from typing import Protocol

from holdfast import tracing
from holdfast.context import StepContext
from holdfast.definitions import Registry, WorkflowDefinition
from holdfast.errors import RunExists
from holdfast.serialization import decode_args
from holdfast.v1 import entity_pb2, event_pb2, runtime_service_pb2, store_service_pb2
from runtime_service.names import run_queue
from runtime_service.store import Store, milliseconds
from runtime_service.worker.cancelling import cancel, read_run
from runtime_service.worker.feed import Feed


class Home(Protocol):
    """The worker, as far as it is needed here."""

    store: Store
    registry: Registry
    feed: Feed

    async def create_run(
        self, create: store_service_pb2.CreateEventRequest
    ) -> store_service_pb2.CreateEventResponse: ...


class ChildRuns:
    """The runs of the store, seen from a step of a run."""

    def __init__(self, home: Home) -> None:
        self._home = home

    async def start(self, attempt: StepContext, request: runtime_service_pb2.StartRunRequest) -> str:
        """Start a child of the attempt's run. Raises NotRegistered, SerializationError, RunExists."""
        workflow = self._home.registry.workflow(request.workflow_name)
        decode_args(workflow, request.input)
        create = store_service_pb2.CreateEventRequest(
            run_id=request.run_id,
            request_id=hashlib.sha256(attempt.info.idempotency_key.encode()).hexdigest(),
            event=_run_created(request, workflow, attempt),
        )
        try:
            await self._home.create_run(create)
        except RunExists:
            if request.conflict_policy != runtime_service_pb2.RUN_CONFLICT_POLICY_USE_EXISTING:
                raise
        return request.run_id

    async def status(self, run_id: str) -> entity_pb2.RunStatus.ValueType:
        """Return the state of a run. Raises RunNotFound."""
        return (await read_run(self._home.store, run_id)).status

    async def cancel(self, request: runtime_service_pb2.CancelRunRequest) -> bool:
        """Ask a run to stop; False when it had ended before. Raises RunNotFound."""
        return (await cancel(self._home, request)).cancelled


def _run_created(
    request: runtime_service_pb2.StartRunRequest, workflow: WorkflowDefinition, attempt: StepContext
) -> event_pb2.Event:
    # The attempt that starts it is current here, so a child's span is below that of the step.
    event = event_pb2.Event(trace_context=tracing.current())
    created = event.run_created
    created.workflow_name, created.version = workflow.name, workflow.version
    created.input.CopyFrom(request.input)
    created.attributes.update(request.attributes)
    created.wake_queue = run_queue(workflow.name, workflow.version)
    created.parent_run_id = attempt.run.run_id
    created.root_run_id = attempt.run.root_run_id or attempt.run.run_id
    if workflow.timeout_ms is not None:
        created.timeout.CopyFrom(milliseconds(workflow.timeout_ms))
    if request.HasField("start_time"):
        created.start_time.CopyFrom(request.start_time)
    return event
