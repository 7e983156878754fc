"""A batch on its way into the log: each event admitted, given its place, and applied; then all of it written.

Owns what the store assigns (seq, event id, times, origin) and the writing of a finished draft with its notes. Used
for clients' events by ``append.py`` and for the store's own by ``expiry.py``. Nothing is written before `commit`,
and `commit` refuses nothing. The places are dense and their times rise because this runs inside the transaction
that holds the run.
"""

from __future__ import annotations

from collections.abc import Sequence

from holdfast.v1 import event_pb2
from store_service import checksum
from store_service.engines.contract import EntityKind, EventNote, ExpiryNote, Reader, RunRow, Transaction
from store_service.rules import admission, clock, draft, projection, stored
from store_service.rules.draft import Draft

Event = event_pb2.Event


def admit_all(
    reader: Reader, run: Draft, events: Sequence[Event], origin: event_pb2.EventOrigin.ValueType, now_ms: int
) -> list[Event]:
    """Admit the events one after the other, each against the run as the ones before left it.

    Returns them as they will be committed and leaves the draft after them. Raises the Refusal of the first
    that may not happen.
    """
    placed: list[Event] = []
    for index, event in enumerate(events):
        admitted = admission.admit(reader, run, event, index, origin, now_ms, placed)
        placed.append(place(run, admitted, origin, now_ms))
    return placed


def place(run: Draft, event: Event, origin: event_pb2.EventOrigin.ValueType, now_ms: int) -> Event:
    """Give an admitted event the next place in the log, in place, and apply it to the draft."""
    at = clock.event_time(now_ms, run.head_at)
    event.run_id = run.run_id
    event.seq = run.head_seq + 1
    event.event_id = clock.mint_event_id(at)
    event.origin = origin
    clock.set_ms(event.create_time, clock.wall_time(now_ms, run.update_ms))
    projection.apply(run, event, at)
    return event


def commit(tx: Transaction, run: Draft, events: Sequence[Event]) -> RunRow:
    """Write placed events and every row they changed, and note them for listeners. Returns the run row."""
    for event, at in zip(events, clock.batch_times(run.head_at, len(events)), strict=True):
        stored_event = stored.row_of(event, at, run.head_checksum)
        run.head_checksum = checksum.own(stored_event.checksum)
        tx.insert_event(stored_event)
    row = draft.save(tx, run)
    kinds = frozenset(event.type for event in events)
    tx.note(EventNote(run.run_id, run.head_seq, bool(run.terminal_seq), kinds))
    _note_expiries(tx, run, events)
    return row


def _note_expiries(tx: Transaction, run: Draft, events: Sequence[Event]) -> None:
    if events[0].type == event_pb2.EVENT_TYPE_RUN_CREATED and run.expire_ms is not None:
        tx.note(ExpiryNote(run.expire_ms))
    for entity in run.touched.values():
        if entity.kind is EntityKind.HOOK and entity.created_at and entity.is_open and entity.due_ms is not None:
            tx.note(ExpiryNote(entity.due_ms))
