"""How rows follow from events: the fifth law of the log.

Owns one table, event kind → how the run and its entities change. Used by ``append.py`` for events that are about to
be committed and by ``rebuild.py`` for a whole log, so that rebuilding gives the same rows. It sees committed events
only (with ids, times and origin), and must never refuse, read a clock or touch the queue: an event in the log is
true.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final

from holdfast.v1 import entity_pb2, event_pb2, payload_pb2
from store_service.engines.contract import EntityKind, TokenRow
from store_service.rules import clock, payloads, views
from store_service.rules.draft import Draft, Entity
from store_service.rules.kinds import is_replayed_decision, moves_marker

Event = event_pb2.Event
Effect = Callable[[Draft, Event, int], None]


def apply(draft: Draft, event: Event, at: int) -> None:
    """Bring a draft from the position before ``event`` to the one after it; ``at`` is the event's time."""
    draft.head_seq, draft.head_at = event.seq, at
    draft.update_ms = clock.to_ms(event.create_time)
    if moves_marker(event):
        draft.out_of_band_at, draft.out_of_band_seq = at, event.seq
    if is_replayed_decision(event):
        draft.replay_seq = event.seq
    EFFECTS[event.type](draft, event, at)


def attributes_after(run: entity_pb2.Run, change: event_pb2.AttributesSet) -> dict[str, str]:
    """Return the labels of a run as a change leaves them; a label both set and removed is removed."""
    labels = {**run.attributes, **change.set}
    return {key: value for key, value in labels.items() if key not in change.removed}


# --- the run ----------------------------------------------------------------------------------------------------


def _run_created(draft: Draft, event: Event, at: int) -> None:
    given, run = event.run_created, draft.run
    run.run_id, run.workflow_name, run.version = event.run_id, given.workflow_name, given.version
    run.parent_run_id, run.root_run_id, run.wake_queue = given.parent_run_id, given.root_run_id, given.wake_queue
    run.attributes.update(given.attributes)
    if given.HasField("input"):
        run.input.CopyFrom(views.omit(given.input))
    draft.status = entity_pb2.RUN_STATUS_PENDING
    draft.create_ms = draft.update_ms
    if given.HasField("timeout"):
        draft.expire_ms = min(draft.create_ms + given.timeout.ToMilliseconds(), clock.TIME_MS_MAX)
    draft.is_body_changed = True
    draft.are_attributes_changed = bool(given.attributes)


def _run_started(draft: Draft, event: Event, at: int) -> None:
    draft.status, draft.started_seq = entity_pb2.RUN_STATUS_RUNNING, event.seq
    draft.run.start_time.CopyFrom(event.create_time)
    draft.is_body_changed = True


def _run_completed(draft: Draft, event: Event, at: int) -> None:
    if event.run_completed.HasField("output"):
        draft.run.output.CopyFrom(views.omit(event.run_completed.output))
    _end(draft, event, entity_pb2.RUN_STATUS_COMPLETED)


def _run_failed(draft: Draft, event: Event, at: int) -> None:
    draft.run.failure.CopyFrom(_without_details(event.run_failed.failure))
    _end(draft, event, entity_pb2.RUN_STATUS_FAILED)


def _run_cancelled(draft: Draft, event: Event, at: int) -> None:
    draft.run.cancel_reason = event.run_cancelled.reason
    _end(draft, event, entity_pb2.RUN_STATUS_CANCELLED)


def _end(draft: Draft, event: Event, status: int) -> None:
    """End the run: nothing of it stays open, its tokens are free, it can no longer time out."""
    draft.status, draft.terminal_seq, draft.expire_ms = status, event.seq, None
    draft.is_body_changed = True
    for entity in list(draft.open_entities()):
        _close(draft, entity, event, _ENDED_WITH_RUN[entity.kind])


def _run_cancel_requested(draft: Draft, event: Event, at: int) -> None:
    draft.run.cancel_requested = True
    draft.is_body_changed = True


def _attributes_set(draft: Draft, event: Event, at: int) -> None:
    labels = attributes_after(draft.run, event.attributes_set)
    draft.run.attributes.clear()
    draft.run.attributes.update(labels)
    draft.is_body_changed = draft.are_attributes_changed = True


def _patch_applied(draft: Draft, event: Event, at: int) -> None:
    """Nothing: it speaks to replays, no row shows it."""


# --- steps ------------------------------------------------------------------------------------------------------


def _step_created(draft: Draft, event: Event, at: int) -> None:
    given = event.step_created
    step = entity_pb2.Step(
        step_id=event.correlation_id,
        run_id=event.run_id,
        step_name=given.step_name,
        status=entity_pb2.STEP_STATUS_PENDING,
        queue=given.queue,
        create_time=event.create_time,
        update_time=event.create_time,
    )
    if given.HasField("input"):
        step.input.CopyFrom(views.omit(given.input))
    for name in ("retry_policy", "attempt_timeout", "heartbeat_timeout", "total_timeout"):
        if given.HasField(name):
            getattr(step, name).CopyFrom(getattr(given, name))
    _create(draft, EntityKind.STEP, event, at, step)


def _step_started(draft: Draft, event: Event, at: int) -> None:
    step = _step(draft, event)
    step.status = entity_pb2.STEP_STATUS_RUNNING
    step.attempt, step.worker_id = event.step_started.attempt, event.step_started.worker_id
    step.task_id = event.step_started.task_id
    if not step.HasField("start_time"):
        step.start_time.CopyFrom(event.create_time)
    step.ClearField("retry_time")
    step.ClearField("failure")


def _step_retrying(draft: Draft, event: Event, at: int) -> None:
    step = _step(draft, event)
    step.status = entity_pb2.STEP_STATUS_PENDING
    step.failure.CopyFrom(_without_details(event.step_retrying.failure))
    step.retry_time.CopyFrom(event.step_retrying.retry_time)


def _step_completed(draft: Draft, event: Event, at: int) -> None:
    step = _step(draft, event)
    if event.step_completed.HasField("output"):
        step.output.CopyFrom(views.omit(event.step_completed.output))
    _close(draft, draft.take(EntityKind.STEP, event.correlation_id), event, entity_pb2.STEP_STATUS_COMPLETED)


def _step_failed(draft: Draft, event: Event, at: int) -> None:
    _step(draft, event).failure.CopyFrom(_without_details(event.step_failed.failure))
    _close(draft, draft.take(EntityKind.STEP, event.correlation_id), event, entity_pb2.STEP_STATUS_FAILED)


def _step(draft: Draft, event: Event) -> entity_pb2.Step:
    """Return the step of an event, with the event noted as its newest."""
    step = _advance(draft.take(EntityKind.STEP, event.correlation_id), event).message
    assert isinstance(step, entity_pb2.Step)
    return step


# --- hooks ------------------------------------------------------------------------------------------------------


def _hook_created(draft: Draft, event: Event, at: int) -> None:
    given = event.hook_created
    hook = _new_hook(event, given.token, entity_pb2.HOOK_STATUS_OPEN)
    hook.payload_schema = given.payload_schema
    if given.HasField("metadata"):
        hook.metadata.CopyFrom(views.omit(given.metadata))
    if given.HasField("min_retention"):
        hook.min_retention.CopyFrom(given.min_retention)
    if given.HasField("expire_time"):
        hook.expire_time.CopyFrom(given.expire_time)
    entity = _create(draft, EntityKind.HOOK, event, at, hook)
    entity.due_ms = clock.to_ms(given.expire_time) if given.HasField("expire_time") else None
    draft.tokens[given.token] = TokenRow(given.token, event.run_id, event.correlation_id)


def _hook_conflict(draft: Draft, event: Event, at: int) -> None:
    hook = _new_hook(event, event.hook_conflict.token, entity_pb2.HOOK_STATUS_CONFLICTED)
    _create(draft, EntityKind.HOOK, event, at, hook).terminal_seq = event.seq


def _new_hook(event: Event, token: str, status: entity_pb2.HookStatus.ValueType) -> entity_pb2.Hook:
    return entity_pb2.Hook(
        hook_id=event.correlation_id,
        run_id=event.run_id,
        token=token,
        status=status,
        create_time=event.create_time,
        update_time=event.create_time,
    )


def _hook_received(draft: Draft, event: Event, at: int) -> None:
    hook = _advance(draft.take(EntityKind.HOOK, event.correlation_id), event).message
    assert isinstance(hook, entity_pb2.Hook)
    hook.received_count += 1


def _hook_disposed(draft: Draft, event: Event, at: int) -> None:
    _close(draft, draft.take(EntityKind.HOOK, event.correlation_id), event, entity_pb2.HOOK_STATUS_DISPOSED)


# --- waits ------------------------------------------------------------------------------------------------------


def _wait_created(draft: Draft, event: Event, at: int) -> None:
    wait = entity_pb2.Wait(
        wait_id=event.correlation_id,
        run_id=event.run_id,
        status=entity_pb2.WAIT_STATUS_PENDING,
        resume_time=event.wait_created.resume_time,
        create_time=event.create_time,
    )
    _create(draft, EntityKind.WAIT, event, at, wait).due_ms = clock.to_ms(wait.resume_time)


def _wait_completed(draft: Draft, event: Event, at: int) -> None:
    entity = draft.take(EntityKind.WAIT, event.correlation_id)
    _close(draft, entity, event, entity_pb2.WAIT_STATUS_COMPLETED)
    assert isinstance(entity.message, entity_pb2.Wait)
    # Only here: the end of the run closes a wait too, but it never fires one.
    entity.message.complete_time.CopyFrom(event.create_time)


# --- all of them ------------------------------------------------------------------------------------------------

#: What becomes of an open entity when its run ends, whatever ended it.
_ENDED_WITH_RUN: Final[Mapping[EntityKind, int]] = MappingProxyType(
    {
        EntityKind.STEP: entity_pb2.STEP_STATUS_CANCELLED,
        EntityKind.HOOK: entity_pb2.HOOK_STATUS_DISPOSED,
        EntityKind.WAIT: entity_pb2.WAIT_STATUS_CANCELLED,
    }
)


def _create(
    draft: Draft, kind: EntityKind, event: Event, at: int, message: entity_pb2.Step | entity_pb2.Hook | entity_pb2.Wait
) -> Entity:
    return draft.touch(Entity(kind, event.correlation_id, message, event.seq, at, event.seq))


def _advance(entity: Entity, event: Event) -> Entity:
    entity.current_seq = event.seq
    if not isinstance(entity.message, entity_pb2.Wait):
        entity.message.update_time.CopyFrom(event.create_time)
    return entity


def _close(draft: Draft, entity: Entity, event: Event, status: int) -> None:
    """Close an entity; a closed hook gives its token back, when its retention is over."""
    message = _advance(draft.touch(entity), event).message
    entity.terminal_seq = event.seq
    message.status = status  # type: ignore[assignment]
    if isinstance(message, entity_pb2.Step):
        message.complete_time.CopyFrom(event.create_time)
    if isinstance(message, entity_pb2.Hook):
        draft.tokens[message.token] = _retained(draft.run_id, message, event)


def _retained(run_id: str, hook: entity_pb2.Hook, closed: Event) -> TokenRow | None:
    """Return the token of a closed hook as it stays taken, None when it is free at once."""
    if not hook.HasField("min_retention"):
        return None
    until_ms = clock.to_ms(closed.create_time) + hook.min_retention.ToMilliseconds()
    return TokenRow(hook.token, run_id, hook.hook_id, min(until_ms, clock.TIME_MS_MAX))


def _without_details(failure: payload_pb2.Failure) -> payload_pb2.Failure:
    """Return a failure as rows keep it: the bodies of its details left out, all the way down its causes."""
    kept = payload_pb2.Failure()
    kept.CopyFrom(failure)
    for _, payload in list(payloads.of_failure(kept, "")):
        payload.CopyFrom(views.omit(payload))
    return kept


#: Every kind of event. `tests/rules/test_tables.py` holds it complete.
EFFECTS: Final[Mapping[int, Effect]] = MappingProxyType(
    {
        event_pb2.EVENT_TYPE_RUN_CREATED: _run_created,
        event_pb2.EVENT_TYPE_RUN_STARTED: _run_started,
        event_pb2.EVENT_TYPE_RUN_COMPLETED: _run_completed,
        event_pb2.EVENT_TYPE_RUN_FAILED: _run_failed,
        event_pb2.EVENT_TYPE_RUN_CANCELLED: _run_cancelled,
        event_pb2.EVENT_TYPE_RUN_CANCEL_REQUESTED: _run_cancel_requested,
        event_pb2.EVENT_TYPE_STEP_CREATED: _step_created,
        event_pb2.EVENT_TYPE_STEP_STARTED: _step_started,
        event_pb2.EVENT_TYPE_STEP_COMPLETED: _step_completed,
        event_pb2.EVENT_TYPE_STEP_FAILED: _step_failed,
        event_pb2.EVENT_TYPE_STEP_RETRYING: _step_retrying,
        event_pb2.EVENT_TYPE_HOOK_CREATED: _hook_created,
        event_pb2.EVENT_TYPE_HOOK_RECEIVED: _hook_received,
        event_pb2.EVENT_TYPE_HOOK_DISPOSED: _hook_disposed,
        event_pb2.EVENT_TYPE_HOOK_CONFLICT: _hook_conflict,
        event_pb2.EVENT_TYPE_WAIT_CREATED: _wait_created,
        event_pb2.EVENT_TYPE_WAIT_COMPLETED: _wait_completed,
        event_pb2.EVENT_TYPE_ATTRIBUTES_SET: _attributes_set,
        event_pb2.EVENT_TYPE_PATCH_APPLIED: _patch_applied,
    }
)
