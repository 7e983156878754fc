"""Stored bodies and the messages they hold.

Owns the way from a row to a message of the contract and back. An event whose checksum does not match, that does not
follow from the one before, or whose body cannot be read, is CORRUPT_LOG: never a guess, never half an answer. Bodies
of runs and entities hold payloads with their body left out (type and size stay); whole payloads are in the events, see
``filling.py``. It must never decide anything. The chain is ``store_service/checksum.py``.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, TypeVar

from google.protobuf.message import DecodeError, Message

from holdfast.refusal import Refusal
from holdfast.v1 import entity_pb2, event_pb2
from store_service import checksum
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
    require_sound(row)
    event = _parse(event_pb2.Event, row.body, row.run_id, f"event {row.seq}")
    says = (event.seq, event.run_id, event.type, event.event_id, event.correlation_id)
    if says != (row.seq, row.run_id, row.kind, row.event_id, row.entity_id or event.correlation_id):
        raise corrupt(row.run_id, f"event {row.seq} holds another event ({event.run_id} {event.seq})", seq=row.seq)
    return event


def require_sound(row: EventRow) -> None:
    """Raise Refusal CORRUPT_LOG unless body and time of an event are what was written."""
    if not checksum.is_sound(row.checksum, row.at, row.body):
        raise corrupt(row.run_id, f"event {row.seq} is not what was written: its checksum differs", seq=row.seq)


def require_next(run_id: str, seq: int, row: EventRow, before: EventRow | None) -> None:
    """Raise Refusal CORRUPT_LOG unless ``row`` is the event ``seq``, and follows ``before`` (None: not at hand)."""
    if row.seq != seq:
        raise corrupt(run_id, f"event {seq} is missing; {row.seq} follows", seq=seq)
    is_linked = seq > 1 or row.checksum.startswith(checksum.FIRST)
    if before is not None:
        is_linked = checksum.are_neighbours(before.checksum, row.checksum)
    if not is_linked:
        raise corrupt(run_id, f"event {seq} does not follow from the one before: the chain is broken", seq=seq)


def require_chain(run_id: str, after_seq: int, rows: Iterable[EventRow]) -> None:
    """Raise Refusal CORRUPT_LOG unless ``rows`` are the events right after ``after_seq``, each linked to the next."""
    before: EventRow | None = None
    for seq, row in enumerate(rows, start=after_seq + 1):
        require_next(run_id, seq, row, before)
        before = row


def require_head(row: RunRow, newest: EventRow) -> None:
    """Raise Refusal CORRUPT_LOG unless the log ends with the event that the run row knows as its newest."""
    if newest.seq == row.head_seq and checksum.own(newest.checksum) != row.head_checksum:
        raise corrupt(row.run_id, f"the run ends with another event {newest.seq} than its log", seq=newest.seq)


def time_of(event: event_pb2.Event) -> int:
    """Return the time of a committed event. Raises Refusal CORRUPT_LOG when its id holds none."""
    at = clock.time_of(event.event_id)
    if at is None:
        raise corrupt(event.run_id, f"event {event.seq} has the id {event.event_id}, which is none", seq=event.seq)
    return at


def row_of(event: event_pb2.Event, at: int, before: bytes) -> EventRow:
    """Return the row of a placed event and its time; ``before`` is the newest checksum of its log so far."""
    is_of_entity = KINDS[event.type].entity is not None
    body = event.SerializeToString()
    return EventRow(
        run_id=event.run_id,
        seq=event.seq,
        event_id=event.event_id,
        at=at,
        kind=event.type,
        entity_id=event.correlation_id if is_of_entity else "",
        body=body,
        checksum=checksum.chained(before, at, body),
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
