"""A workflow context and a step context that answer at once, for tests of what people call.

The desk keeps every call; steps are answered by running their function on the decoded arguments.
"""

from __future__ import annotations

import random
import uuid
from collections import deque
from collections.abc import Awaitable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

from holdfast.context import STEP, WORKFLOW, HookCall, RunInfo, StepCall, StepInfo
from holdfast.errors import HookDisposed
from holdfast.serialization import decode_args, encode_result
from holdfast.v1 import payload_pb2

STARTED = datetime(2030, 1, 1, tzinfo=UTC)


class DeskHook:
    """A hook whose payloads are put in by the test."""

    hook_id = "hook_1"

    def __init__(self, call: HookCall) -> None:
        self.token = call.token or "generated"
        self.payloads: deque[payload_pb2.Payload] = deque()
        self.holder: str | None = None
        self.is_disposed = False

    async def registered(self) -> str | None:
        return self.holder

    async def next_payload(self) -> payload_pb2.Payload:
        if not self.payloads:
            raise HookDisposed("the hook is closed")
        return self.payloads.popleft()

    def dispose(self) -> None:
        self.is_disposed = True


class Desk:
    """A ``WorkflowContext``."""

    def __init__(self) -> None:
        self.calls: list[StepCall] = []
        self.hooks: list[tuple[HookCall, DeskHook]] = []
        self.attributes: dict[str, str] = {}

    async def call_step(self, call: StepCall) -> payload_pb2.Payload:
        self.calls.append(call)
        args, kwargs = decode_args(call.definition, call.input)
        result = call.definition.function(*args, **kwargs)
        return encode_result(call.definition, await result if isinstance(result, Awaitable) else result)

    def open_hook(self, call: HookCall) -> DeskHook:
        self.hooks.append((call, DeskHook(call)))
        return self.hooks[-1][1]

    def set_attributes(self, changes: Mapping[str, str | None]) -> None:
        merged = {**self.attributes, **changes}
        self.attributes = {key: value for key, value in merged.items() if value is not None}

    def now(self) -> datetime:
        return STARTED

    def random(self) -> random.Random:
        return random.Random(7)

    def uuid4(self) -> uuid.UUID:
        return uuid.UUID(int=7, version=4)

    def run_info(self) -> RunInfo:
        return RunInfo("run_1", "shop.checkout", STARTED, self.attributes, None, None)


class Bench:
    """A ``StepContext``."""

    is_cancelled = False

    def __init__(self) -> None:
        self.info = StepInfo("run_1", "step_1", "shop.charge", 2, STARTED, "run_1/step_1")
        self.last_heartbeat: Any = {"row": 7}
        self.heartbeats: list[Any] = []
        self.attributes: dict[str, str | None] = {}

    @property
    def run(self) -> RunInfo:
        return RunInfo("run_1", "shop.checkout", STARTED, {}, None, None)

    def heartbeat(self, details: Any) -> None:
        self.heartbeats.append(details)

    async def set_attributes(self, changes: Mapping[str, str | None]) -> None:
        self.attributes.update(changes)


@contextmanager
def in_workflow() -> Iterator[Desk]:
    """Make the code below a workflow body."""
    desk = Desk()
    token = WORKFLOW.set(desk)
    try:
        yield desk
    finally:
        WORKFLOW.reset(token)


@contextmanager
def in_step() -> Iterator[Bench]:
    """Make the code below a step body."""
    bench = Bench()
    token = STEP.set(bench)
    try:
        yield bench
    finally:
        STEP.reset(token)
