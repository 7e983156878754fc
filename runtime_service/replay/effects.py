"""The table: event kind → what it does to a replay.

One small function per kind; the loop is run by ``instance.py`` afterwards. A test checks that every kind of the
contract has its row. An effect sees one event and the parts, raises ReplayDivergence, and reads nothing else.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final

from holdfast.v1 import event_pb2
from runtime_service.replay.clock import stamp_ms
from runtime_service.replay.divergence import not_called, unknown_entity, unknown_kind
from runtime_service.replay.parts import Parts

Effect = Callable[[Parts, event_pb2.Event], None]


def apply(parts: Parts, event: event_pb2.Event) -> None:
    """Let one event take effect. Raises ReplayDivergence; an unknown kind that may be skipped is skipped."""
    effect = EFFECTS.get(event.WhichOneof("attributes") or "")
    if effect is not None:
        effect(parts, event)
    elif not event.ignorable:
        raise unknown_kind(event)


def _run_created(parts: Parts, event: event_pb2.Event) -> None:
    parts.context.run_created(event)
    parts.hooks.seed(event.run_id, event.event_id)
    parts.attributes.begin(event.run_created.attributes)
    parts.life.take_input(event.run_created.input)


def _run_started(parts: Parts, event: event_pb2.Event) -> None:
    parts.context.run_started(event)
    parts.life.start()


def _run_ended(parts: Parts, event: event_pb2.Event) -> None:
    parts.life.record(event)


def _run_cancel_requested(parts: Parts, event: event_pb2.Event) -> None:
    parts.life.cancel(event.run_cancel_requested.reason)


def _wait_created(parts: Parts, event: event_pb2.Event) -> None:
    if parts.commands.confirm(event.correlation_id) is None:
        raise not_called(event, parts.commands)
    parts.timers.record(event.correlation_id, stamp_ms(event.wait_created.resume_time))


def _wait_completed(parts: Parts, event: event_pb2.Event) -> None:
    try:
        timer = parts.timers.fire(event.correlation_id)
    except KeyError:
        raise unknown_entity(event) from None
    if timer is not None:
        parts.loop.push(timer)


#: Event kind (the name of its arm) → effect. Complete: tests/replay/test_replay_effects.py.
EFFECTS: Final[Mapping[str, Effect]] = MappingProxyType(
    {
        "run_created": _run_created,
        "run_started": _run_started,
        "run_completed": _run_ended,
        "run_failed": _run_ended,
        "run_cancelled": _run_ended,
        "run_cancel_requested": _run_cancel_requested,
        "step_created": lambda parts, event: parts.steps.created(event),
        "step_started": lambda parts, event: parts.steps.started(event),
        "step_completed": lambda parts, event: parts.steps.completed(event),
        "step_failed": lambda parts, event: parts.steps.failed(event),
        "step_retrying": lambda parts, event: parts.steps.retrying(event),
        "hook_created": lambda parts, event: parts.hooks.created(event),
        "hook_received": lambda parts, event: parts.hooks.received(event),
        "hook_disposed": lambda parts, event: parts.hooks.disposed(event),
        "hook_conflict": lambda parts, event: parts.hooks.conflicted(event),
        "wait_created": _wait_created,
        "wait_completed": _wait_completed,
        "attributes_set": lambda parts, event: parts.attributes.record(event),
        "patch_applied": lambda parts, event: parts.patches.record(event.patch_applied),
    }
)
