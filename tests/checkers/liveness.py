"""The liveness audit: every open run has something that will move it, and one can say what.

Owns the question "why is this run not moving?" asked of the store alone, at any moment: a wake message waits, is
leased or is armed for a time or set aside as blocked; or no message waits and then a hook is open, a child lives, or
a task of a step is out. A run with none of these waits for ever. Messages and log change in one transaction, so this
holds between any two commits. Runs without a wake queue are moved by whoever made them, and are no business of this.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from enum import StrEnum
from typing import Final

from holdfast.v1 import entity_pb2, event_pb2, queue_service_pb2
from runtime_service.names import BLOCKED_PREFIX
from runtime_service.tasks.messages import TaskAddress
from store_service.engines.contract import EntityKind, EntityRow, MessageQuery, MessageRow, Reader, RunQuery, RunRow
from store_service.rules import stored

_PAGE: Final = 100_000
_OPEN: Final = (entity_pb2.RUN_STATUS_PENDING, entity_pb2.RUN_STATUS_RUNNING)
_ALIVE: Final = (queue_service_pb2.QUEUE_MESSAGE_STATE_READY, queue_service_pb2.QUEUE_MESSAGE_STATE_LEASED)
_AWAIT_RUN: Final = "holdfast.await_run"


class Standing(StrEnum):
    """What will move an open run. The first that holds, in this order, is the answer."""

    LEASED = "a runtime holds it"
    BLOCKED = "it is set aside, with a reason"
    TIMER = "its wake message is due later"
    QUEUED = "its wake message waits"
    TASK = "a step of it is out"
    CHILD = "a child of it lives"
    HOOK = "a hook of it is open"


def stuck_runs(reader: Reader, now_ms: int) -> Iterator[str]:
    """Yield every open run that nothing will ever move."""
    for row in reader.runs(RunQuery(limit=_PAGE, statuses=_OPEN)):
        if standing(reader, row, now_ms) is None and stored.body_of_run(row).wake_queue:
            yield f"{row.run_id}: it is open at event {row.head_seq}, and nothing will ever move it"


def standing(reader: Reader, row: RunRow, now_ms: int) -> Standing | None:
    """Return what will move an open run; None when it waits for ever."""
    queue = stored.body_of_run(row).wake_queue
    messages = reader.messages(MessageQuery(queue=queue, limit=_PAGE, group=row.run_id, states=_ALIVE)) if queue else []
    if found := [_of_message(message, now_ms) for message in messages]:
        return min(found, key=list(Standing).index)
    entities = reader.open_entities(row.run_id)
    return next((it for it, holds in _PASSIVE.items() if any(holds(reader, row, entity) for entity in entities)), None)


def _of_message(message: MessageRow, now_ms: int) -> Standing:
    if message.state == queue_service_pb2.QUEUE_MESSAGE_STATE_LEASED:
        return Standing.LEASED
    if message.last_reason.startswith(BLOCKED_PREFIX):
        return Standing.BLOCKED
    return Standing.TIMER if message.deliver_ms > now_ms else Standing.QUEUED


def _is_task(reader: Reader, row: RunRow, entity: EntityRow) -> bool:
    created = _step_created(reader, entity)
    if created is None or not created.step_created.queue:
        return False
    address = TaskAddress.of(row.run_id, row.workflow_name, created)
    query = MessageQuery(queue=address.message_queue, limit=1, group=address.group, states=_ALIVE)
    return bool(reader.messages(query))


def _is_child(reader: Reader, row: RunRow, entity: EntityRow) -> bool:
    created = _step_created(reader, entity)
    if created is None or created.step_created.step_name != _AWAIT_RUN:
        return False
    return bool(reader.runs(RunQuery(limit=1, statuses=_OPEN, parent_run_id=row.run_id)))


def _is_hook(reader: Reader, row: RunRow, entity: EntityRow) -> bool:
    return entity.kind is EntityKind.HOOK


def _step_created(reader: Reader, entity: EntityRow) -> event_pb2.Event | None:
    row = reader.event(entity.run_id, entity.created_seq) if entity.kind is EntityKind.STEP else None
    return stored.event_of(row) if row is not None else None


_PASSIVE: Final[dict[Standing, Callable[[Reader, RunRow, EntityRow], bool]]] = {
    Standing.TASK: _is_task,
    Standing.CHILD: _is_child,
    Standing.HOOK: _is_hook,
}
