"""The seam between what people write and what runs it: who is the current workflow, who is the current step.

Owns two context variables and the protocols behind them. `holdfast`'s primitives look here and call; the runtime's
replay and its step runner implement. Must never import a service. Read `holdfast/primitives.py` for the callers.
"""

from __future__ import annotations

import random as _random
import uuid as _uuid
from collections.abc import Awaitable, Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from holdfast.v1 import entity_pb2, payload_pb2, runtime_service_pb2


@dataclass(frozen=True, slots=True)
class RunInfo:
    """The run that the calling code belongs to. ``started_at`` is aware, UTC; ``attributes`` as of now."""

    run_id: str
    workflow_name: str
    started_at: datetime
    attributes: Mapping[str, str]
    parent_run_id: str | None
    root_run_id: str | None


@dataclass(frozen=True, slots=True)
class StepInfo:
    """The step attempt that is running. ``attempt`` counts from 1; ``started_at`` is that of the first attempt.

    ``idempotency_key`` is the same for every attempt of the step and unique in the store.
    """

    run_id: str
    step_id: str
    step_name: str
    attempt: int
    started_at: datetime
    idempotency_key: str


@dataclass(frozen=True, slots=True)
class StepCall:
    """One call of a step as the workflow made it, encoded. Durations are milliseconds, None when unbounded.

    ``definition`` is the ``StepDefinition`` (holdfast/definitions.py); ``source`` is "file:line" of the call.
    """

    definition: Any
    input: payload_pb2.Payload
    source: str


@dataclass(frozen=True, slots=True)
class HookCall:
    """A hook as the workflow asked for it. ``token`` "" means generate one; ``min_retention_ms`` None means none."""

    token: str
    metadata: payload_pb2.Payload | None
    payload_schema: str
    min_retention_ms: int | None
    source: str


class HookPort(Protocol):
    """The replay's side of one hook."""

    hook_id: str
    token: str

    def registered(self) -> Awaitable[str | None]:
        """Wait until the store recorded the hook; None, or the run id that holds the token (conflict)."""

    def next_payload(self) -> Awaitable[payload_pb2.Payload]:
        """Wait for the next payload in log order. Raises HookConflict or HookDisposed."""

    def dispose(self) -> None:
        """Close the hook. Idempotent."""


class RunsPort(Protocol):
    """The runs of the store, for the built-in steps that start and steer child runs."""

    def start(self, attempt: StepContext, request: runtime_service_pb2.StartRunRequest) -> Awaitable[str]:
        """Start a child of the attempt's run, once however often the attempt is repeated; returns its id.

        Raises RunExists, NotRegistered, SerializationError, InvalidRequest.
        """

    def status(self, run_id: str) -> Awaitable[entity_pb2.RunStatus.ValueType]:
        """Return the state of a run. Raises RunNotFound."""

    def cancel(self, request: runtime_service_pb2.CancelRunRequest) -> Awaitable[bool]:
        """Ask a run to stop; False when it had ended before. Raises RunNotFound."""


class StreamPort(Protocol):
    """A step's writing end of one stream."""

    async def write(self, chunk: bytes) -> None:
        """Append a chunk; waits while much is on its way. Safe from any event loop. Raises StreamClosed."""

    async def close(self) -> None:
        """Close the stream once everything written is durable. Idempotent."""


class WorkflowContext(Protocol):
    """What a workflow body can reach. Everything is deterministic: a function of the log."""

    def call_step(self, call: StepCall) -> Awaitable[payload_pb2.Payload]:
        """Schedule a step and wait for its encoded result.

        Raises the ``StepFailed`` that ``holdfast.failures`` rebuilds from the recorded failure.
        """

    def open_hook(self, call: HookCall) -> HookPort: ...

    def child_run_id(self) -> str:
        """Return the id of the next child run that the calling task starts without naming it."""

    def set_attributes(self, changes: Mapping[str, str | None]) -> None: ...

    def patched(self, name: str) -> bool:
        """Say whether this call runs after the named change of the code; True is recorded."""

    def public_url(self) -> str:
        """Return where the run's webhooks are reached, without a slash at the end; "" when nowhere."""

    def now(self) -> datetime: ...

    def random(self) -> _random.Random: ...

    def uuid4(self) -> _uuid.UUID: ...

    def run_info(self) -> RunInfo: ...


class StepContext(Protocol):
    """What a step body can reach."""

    last_heartbeat: Any

    @property
    def info(self) -> StepInfo: ...

    @property
    def run(self) -> RunInfo:
        """Return the run, with its attributes as far as this process knows them now."""

    @property
    def runs(self) -> RunsPort: ...

    def heartbeat(self, details: Any) -> None:
        """Report life and details. A plain call, safe from any thread; raises nothing but SerializationError."""

    def set_attributes(self, changes: Mapping[str, str | None]) -> Awaitable[None]: ...

    def open_stream(self, run_id: str, name: str, content_type: str) -> StreamPort:
        """Return the writing end of a stream of a run, the same one for each call in an attempt."""

    def respond(self, queue: str, request_id: str, until_ms: int, response: str) -> Awaitable[bool]:
        """Send a written response to the runtime that holds a webhook's request open; False when it does no longer."""

    @property
    def is_cancelled(self) -> bool: ...


WORKFLOW: ContextVar[WorkflowContext | None] = ContextVar("holdfast_workflow", default=None)
STEP: ContextVar[StepContext | None] = ContextVar("holdfast_step", default=None)
