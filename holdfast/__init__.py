"""holdfast: durable workflows in plain asyncio.

What people import. Owns the list of public names and nothing else. The clients are loaded when first asked for, because
gRPC takes longer to import than everything else together.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any, Final

from holdfast.children import ChildRun, start
from holdfast.compensation import Saga
from holdfast.context import RunInfo, StepInfo
from holdfast.decorators import step, workflow
from holdfast.errors import (
    CorruptLog,
    CursorExpired,
    EntityExists,
    EntityNotFound,
    FatalError,
    HoldfastError,
    HookConflict,
    HookDisposed,
    HookNotFound,
    IllegalTransition,
    InternalError,
    InvalidCursor,
    InvalidPayload,
    InvalidRequest,
    LeaseLost,
    LimitExceeded,
    LoadFailed,
    NotDeterministic,
    NotReady,
    NotRegistered,
    PermissionDenied,
    RemoteError,
    ReplayDivergence,
    RequestIdReused,
    ResourceNotFound,
    RetryableError,
    RetryTooEarly,
    RunCancelled,
    RunExists,
    RunFailed,
    RunNotFound,
    RunTerminal,
    SerializationError,
    SnapshotAhead,
    StaleSnapshot,
    StepFailed,
    StepTimeout,
    StreamClosed,
    Throttled,
    Unauthenticated,
    WriteConflict,
    WrongContext,
)
from holdfast.hooks import Hook, hook
from holdfast.primitives import (
    cancelled,
    heartbeat,
    last_heartbeat,
    now,
    patched,
    random,
    run_info,
    set_attributes,
    sleep,
    step_info,
    uuid4,
)
from holdfast.remote import remote_step
from holdfast.response import Response
from holdfast.retry import RetryPolicy
from holdfast.stream_items import Chunk, Reset
from holdfast.streams import StreamWriter, stream
from holdfast.webhooks import Request, Webhook, webhook

if TYPE_CHECKING:
    from holdfast.client import Client, RunHandle
    from holdfast.stream_reader import StreamReader
    from holdfast.sync_client import SyncClient, SyncRunHandle, SyncStreamReader

_LATER: Final = {
    "Client": "holdfast.client",
    "RunHandle": "holdfast.client",
    "StreamReader": "holdfast.stream_reader",
    "SyncClient": "holdfast.sync_client",
    "SyncRunHandle": "holdfast.sync_client",
    "SyncStreamReader": "holdfast.sync_client",
}


__all__ = [
    "ChildRun",
    "Chunk",
    "Client",
    "CorruptLog",
    "CursorExpired",
    "EntityExists",
    "EntityNotFound",
    "FatalError",
    "HoldfastError",
    "Hook",
    "HookConflict",
    "HookDisposed",
    "HookNotFound",
    "IllegalTransition",
    "InternalError",
    "InvalidCursor",
    "InvalidPayload",
    "InvalidRequest",
    "LeaseLost",
    "LimitExceeded",
    "LoadFailed",
    "NotDeterministic",
    "NotReady",
    "NotRegistered",
    "PermissionDenied",
    "RemoteError",
    "ReplayDivergence",
    "Request",
    "RequestIdReused",
    "Reset",
    "ResourceNotFound",
    "Response",
    "RetryPolicy",
    "RetryTooEarly",
    "RetryableError",
    "RunCancelled",
    "RunExists",
    "RunFailed",
    "RunHandle",
    "RunInfo",
    "RunNotFound",
    "RunTerminal",
    "Saga",
    "SerializationError",
    "SnapshotAhead",
    "StaleSnapshot",
    "StepFailed",
    "StepInfo",
    "StepTimeout",
    "StreamClosed",
    "StreamReader",
    "StreamWriter",
    "SyncClient",
    "SyncRunHandle",
    "SyncStreamReader",
    "Throttled",
    "Unauthenticated",
    "Webhook",
    "WriteConflict",
    "WrongContext",
    "cancelled",
    "heartbeat",
    "hook",
    "last_heartbeat",
    "now",
    "patched",
    "random",
    "remote_step",
    "run_info",
    "set_attributes",
    "sleep",
    "start",
    "step",
    "step_info",
    "stream",
    "uuid4",
    "webhook",
    "workflow",
]


def __getattr__(name: str) -> Any:
    if name not in _LATER:
        raise AttributeError(f"module 'holdfast' has no attribute {name!r}")
    return getattr(importlib.import_module(_LATER[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_LATER})
