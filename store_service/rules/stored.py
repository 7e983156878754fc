"""Stored bodies and the messages they hold.

Owns the way from a row to a message of the contract and back. A body that cannot be read, or that says another
position than its row, is CORRUPT_LOG: never a guess, never half an answer. Bodies of runs and entities hold
payloads with their body left out (type and size stay); whole payloads are in the events, see ``filling.py``. It
must never decide anything.
"""

from __future__ import annotations

from typing import Final, TypeVar

from google.protobuf.message import DecodeError, Message

from holdfast.refusal import Refusal
from holdfast.v1 import entity_pb2, event_pb2
from store_service.engines.contract import EntityKind, EntityRow, EventRow, RunRow
from store_service.rules import clock
from store_service.rules.kinds import KINDS

EntityMessage = entity_pb2.Step | entity_pb2.Hook | entity_pb2.Wait
M = TypeVar("M", bound=Message)

ENTITY_MESSAGES: Final[dict[EntityKind, type[EntityMessage]]] = {
    EntityKind.STEP: entity_pb2.Step,
    EntityKind.HOOK: entity_pb2.Hook,
    EntityKind.WAIT: entity_pb2.Wait,
}


def corrupt(run_id: str, what: str, **metadata: object) -> Refusal:
    """Build the refusal of a log that fails its integrity check."""
    return Refusal("CORRUPT_LOG", f"log of run {run_id}: {what}", metadata={"run_id": run_id, **metadata})


def event_of(row: EventRow) -> event_pb2.Event:
    """Return the event of a row. Raises Refusal CORRUPT_LOG."""
    event = _parse(event_pb2.Event, row.body, row.run_id, f"event {row.seq}")
    if (event.seq, event.run_id, event.type) != (row.seq, row.run_id, row.kind):
        raise corrupt(row.run_id, f"event {row.seq} holds another event ({event.run_id} {event.seq})", seq=row.seq)
    return event


def time_of(event: event_pb2.Event) -> int:
    """Return the time of a committed event. Raises Refusal CORRUPT_LOG when its id holds none."""
    at = clock.time_of(event.event_id)
    if at is None:
        raise corrupt(event.run_id, f"event {event.seq} has the id {event.event_id}, which is none", seq=event.seq)
    return at


def row_of(event: event_pb2.Event) -> EventRow:
    """Return the row of a committed event."""
    is_of_entity = KINDS[event.type].entity is not None
    return EventRow(
        run_id=event.run_id,
        seq=event.seq,
        event_id=event.event_id,
        at=time_of(event),
        kind=event.type,
        entity_id=event.correlation_id if is_of_entity else "",
        body=event.SerializeToString(),
    )


def body_of_run(row: RunRow) -> entity_pb2.Run:
    """Return what the body of a run row holds, without the columns."""
    return _parse(entity_pb2.Run, row.body, row.run_id, "the run row")


def run_of(row: RunRow) -> entity_pb2.Run:
    """Return a run, payload bodies left out."""
    return complete_run(body_of_run(row), row)


def complete_run(run: entity_pb2.Run, row: RunRow) -> entity_pb2.Run:
    """Set on ``run`` what the columns of its row say, and return it."""
    run.status = entity_pb2.RunStatus.ValueType(row.status)
    clock.set_ms(run.create_time, row.create_ms)
    clock.set_ms(run.update_time, row.update_ms)
    if row.terminal_seq:
        clock.set_ms(run.complete_time, row.update_ms)
    if row.expire_ms is not None:
        clock.set_ms(run.expire_time, row.expire_ms)
    guard = run.guard
    guard.head_seq, guard.head_at, guard.replay_seq = row.head_seq, row.head_at, row.replay_seq
    guard.out_of_band_at, guard.out_of_band_seq = row.out_of_band_at, row.out_of_band_seq
    return run


def entity_of(row: EntityRow) -> EntityMessage:
    """Return a step, hook or wait, payload bodies left out."""
    what = f"the row of {row.kind.name.lower()} {row.entity_id}"
    return _parse(ENTITY_MESSAGES[row.kind], row.body, row.run_id, what)


def _parse(message: type[M], body: bytes, run_id: str, what: str) -> M:
    try:
        return message.FromString(body)
    except DecodeError as error:
        raise corrupt(run_id, f"{what} cannot be read") from error
