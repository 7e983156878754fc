"""What a workflow body can reach: the ``WorkflowContext`` of the authoring package, answered from the log.

Every answer is a function of the events delivered so far. Random numbers come from the id of the run's first event,
so they differ between runs and are the same in every replay of one.
"""

from __future__ import annotations

import hashlib
import random
import uuid
from collections.abc import Mapping
from datetime import datetime
from functools import cached_property
from typing import Final

from holdfast.context import HookCall, RunInfo, StepCall
from holdfast.tracing import Carrier
from holdfast.v1 import event_pb2
from runtime_service.replay.attributes import Attributes
from runtime_service.replay.clock import RunClock, as_datetime, event_time_ms
from runtime_service.replay.hooks import Hooks, ReplayHook
from runtime_service.replay.loop import ReplayLoop
from runtime_service.replay.order import ReplayFuture
from runtime_service.replay.patches import Patches
from runtime_service.replay.steps import Steps
from runtime_service.spans import run_carrier

#: Hexadecimal digits of the id of a child run that was given none: no two ever meet.
_CHILD_ID_CHARS: Final = 32


class ReplayContext:
    """The context of one run."""

    def __init__(
        self,
        run_id: str,
        clock: RunClock,
        loop: ReplayLoop,
        steps: Steps,
        hooks: Hooks,
        attributes: Attributes,
        patches: Patches,
    ) -> None:
        self._run_id = run_id
        self._clock = clock
        self._loop = loop
        self._steps = steps
        self._hooks = hooks
        self._attributes = attributes
        self._patches = patches
        # Said by the first two events, and asked for by nobody before them.
        self._created: event_pb2.RunCreated
        self._created_id: str
        self._started_ms: int
        self._public_url: str
        #: The span of the run, which the spans of its body are children of.
        self.trace_carrier: Carrier

    # What the log says.

    def run_created(self, event: event_pb2.Event) -> None:
        self._created = event.run_created
        self._created_id = event.event_id
        self.trace_carrier = run_carrier(event)

    def run_started(self, event: event_pb2.Event) -> None:
        self._started_ms = event_time_ms(event)
        self._public_url = event.run_started.public_url

    # What the workflow asks.

    def call_step(self, call: StepCall) -> ReplayFuture:
        return self._steps.call(call)

    def open_hook(self, call: HookCall) -> ReplayHook:
        return self._hooks.open(call)

    def child_run_id(self) -> str:
        # From the id of the first event, not the run's own: an id that was deleted and given again has other children.
        key = f"{self._created_id}\n{self._loop.scope().child_run_id()}"
        return f"run_{hashlib.sha256(key.encode()).hexdigest()[:_CHILD_ID_CHARS]}"

    def public_url(self) -> str:
        return self._public_url

    def set_attributes(self, changes: Mapping[str, str | None]) -> None:
        self._attributes.change(changes)

    def patched(self, name: str) -> bool:
        return self._patches.ask(name)

    @property
    def now_ms(self) -> int:
        return self._clock.now_ms

    def now(self) -> datetime:
        return self._clock.now()

    # Each has a stream of its own, so that one call more of any does not shift the others. Seeding one takes 10 µs,
    # and most runs want none.

    @cached_property
    def _random(self) -> random.Random:
        return _seeded("random", self._created_id)

    @cached_property
    def _uuids(self) -> random.Random:
        return _seeded("uuid", self._created_id)

    @cached_property
    def _span_numbers(self) -> random.Random:
        return _seeded("span", self._created_id)

    def random(self) -> random.Random:
        return self._random

    def uuid4(self) -> uuid.UUID:
        return uuid.UUID(int=self._uuids.getrandbits(128), version=4)

    def span_number(self, bits: int) -> int:
        """Return the id of the next span that the body opens; never 0."""
        return self._span_numbers.getrandbits(bits) or 1

    def run_info(self) -> RunInfo:
        return RunInfo(
            run_id=self._run_id,
            workflow_name=self._created.workflow_name,
            started_at=as_datetime(self._started_ms),
            attributes=self._attributes.current,
            parent_run_id=self._created.parent_run_id or None,
            root_run_id=self._created.root_run_id or None,
        )


def _seeded(what: str, event_id: str) -> random.Random:
    # By a digest and never by the id itself: 156 uuids tell the whole state of a generator, the state tells its seed,
    # and the tokens of the run's webhooks are made from the id.
    return random.Random(hashlib.sha256(f"{what}:{event_id}".encode()).digest())
