"""The append: one batch of events enters the log of one run, whole or not at all.

Owns the order of checks (design §9, first hit wins): request id → run exists → run terminal → guards → each event
against entity, transition and retry time → receipts → quota; and the one transaction in which events, rows, token,
messages and leases change together. Credentials, fields and sizes come before, in the api. A refusal anywhere
leaves no trace, because the engine drops what the unit wrote. Read ``guard.py`` for the comparison,
``admission.py`` for one event, ``projection.py`` for what it changes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from holdfast.v1 import entity_pb2, event_pb2, queue_service_pb2
from store_service import limits
from store_service.engines.contract import RequestRow, Transaction
from store_service.rules import (
    batch,
    clock,
    cursors,
    delta,
    draft,
    guard,
    leases,
    queue,
    refusals,
    requests,
    staleness,
    stored,
    waking,
)
from store_service.rules.contents import is_same
from store_service.rules.delta import Head
from store_service.rules.draft import Draft
from store_service.rules.guard import Snapshot
from store_service.rules.kinds import KINDS, type_of
from store_service.rules.stored import EntityMessage

Event = event_pb2.Event

#: Forgotten rows per write that leaves one: more than come in, so that the tables do not grow.
_FORGET_PER_WRITE: Final = 20

#: What a run that is full still takes: the end of what runs already, and the request to end it all.
_ENDINGS: Final = frozenset(
    {
        event_pb2.EVENT_TYPE_STEP_COMPLETED,
        event_pb2.EVENT_TYPE_STEP_FAILED,
        event_pb2.EVENT_TYPE_RUN_CANCEL_REQUESTED,
    }
)


@dataclass(frozen=True, slots=True)
class Append:
    """One CreateEvent(s), its fields checked by the api. ``run_id`` may be "" with a leading run_created."""

    run_id: str
    events: Sequence[Event]
    state_updated_at: int | None = None
    state_seq: int | None = None
    delta_after_seq: int | None = None
    request_id: str = ""
    messages: Sequence[queue_service_pb2.NewQueueMessage] = ()
    ack_receipts: Sequence[str] = ()
    held_receipts: Sequence[str] = ()
    lease_wake_ms: int | None = None

    @property
    def snapshot(self) -> Snapshot:
        return Snapshot(self.state_updated_at, self.state_seq)

    @property
    def origin(self) -> event_pb2.EventOrigin.ValueType:
        """A snapshot declares that a replay derived the batch."""
        return event_pb2.EVENT_ORIGIN_REPLAY if self.snapshot.is_given else event_pb2.EVENT_ORIGIN_EXTERNAL


@dataclass(frozen=True, slots=True)
class Appended:
    """What was committed. Events hold their payloads; ``run`` and ``entities`` (one per event, None for run events;
    as the batch left them) hold payloads with the bodies left out, see ``filling.py``. ``interleaved`` is None
    unless a snapshot or ``delta_after_seq`` was given; ``wake_lease`` unless it was asked for and could be met."""

    events: list[Event]
    run: entity_pb2.Run
    entities: list[EntityMessage | None]
    interleaved: event_pb2.LogDelta | None
    message_ids: list[str]
    deduplicated: bool
    next_cursor: str
    wake_lease: queue_service_pb2.LeasedMessage | None = None


def append(tx: Transaction, request: Append, now_ms: int) -> Appended:
    """Append a batch to a run, all or none. Raises Refusal for the first check that fails; nothing is used up then.

    Safe to repeat with the same ``request_id``: the repeat writes nothing and gets the first answer.
    """
    digest = b""
    if request.request_id:
        digest = requests.digest(request.run_id, request.events, request.messages)
        known = requests.recall(tx, request.request_id, digest, now_ms)
        if known is not None:
            return _repeated(tx, request, known)
    run = _open_run(tx, request, now_ms)
    before = run.position
    _check_guard(tx, run.run_id, request.snapshot, before)
    events = batch.admit_all(tx, run, request.events, request.origin, now_ms)
    _settle_receipts(tx, request, now_ms)
    _check_quota(run, events)
    return _write(tx, run, events, request, digest, Head(before.head_seq, before.head_at), now_ms)


def _open_run(tx: Transaction, request: Append, now_ms: int) -> Draft:
    """Run exists → run terminal."""
    event_type = type_of(request.events[0])
    row = tx.run(request.run_id) if request.run_id else None
    if event_type == event_pb2.EVENT_TYPE_RUN_CREATED:
        if row is not None:
            raise _run_exists(tx, request)
        return Draft(request.run_id or clock.mint("run_", now_ms), tx)
    if row is None:
        raise refusals.run_not_found(request.run_id)
    if row.terminal_seq:
        raise refusals.run_terminal(row.run_id, event_type, row.status, row.terminal_seq, 0)
    return draft.of_row(row, tx)


def _run_exists(tx: Transaction, request: Append) -> Exception:
    first = tx.event(request.run_id, 1)
    if first is None:
        raise stored.corrupt(request.run_id, "event 1 is missing", seq=1)
    return refusals.exists(request.run_id, "", 1, is_same(request.events[0], stored.event_of(first)), 0)


def _check_guard(tx: Transaction, run_id: str, snapshot: Snapshot, before: guard.Position) -> None:
    """The marker before the batch counts: a batch cannot make its own snapshot stale."""
    verdict = guard.compare(snapshot, before)
    if verdict is not guard.Verdict.FRESH:
        raise staleness.refusal(tx, run_id, snapshot, before, verdict)


def _settle_receipts(tx: Transaction, request: Append, now_ms: int) -> None:
    for receipt in request.held_receipts:
        leases.require_held(tx, receipt, now_ms)
    for receipt in request.ack_receipts:
        leases.acknowledge(tx, receipt, now_ms)


def _check_quota(run: Draft, events: Sequence[Event]) -> None:
    """A batch that ends the run is let through: a run that is full must still be able to end, by a cancel as well."""
    most = limits.RUN_EVENTS_MAX
    if run.head_seq > most and (run.run.cancel_requested or all(type_of(event) in _ENDINGS for event in events)):
        most += limits.RUN_EVENTS_RESERVED
    if run.head_seq > most and not run.terminal_seq:
        raise refusals.quota_exceeded(run.run_id, "run_events", most, run.head_seq)
    count = len(run.run.attributes)
    if count > limits.ATTRIBUTES_MAX and run.are_attributes_changed:
        raise refusals.quota_exceeded(run.run_id, "run_attributes", limits.ATTRIBUTES_MAX, count)


def _write(
    tx: Transaction, run: Draft, events: list[Event], request: Append, digest: bytes, before: Head, now_ms: int
) -> Appended:
    interleaved = _interleaved(tx, run.run_id, request, before)
    row = batch.commit(tx, run, events)
    message_ids = [queue.enqueue(tx, message, now_ms)[0] for message in request.messages]
    is_leased = request.lease_wake_ms is not None
    woken = waking.wake(tx, run.run, events, bool(request.held_receipts), now_ms, is_leased=is_leased)
    if request.request_id:
        requests.remember(tx, request.request_id, digest, events, message_ids, now_ms)
    if request.request_id or request.ack_receipts:
        tx.forget_expired(now_ms, _FORGET_PER_WRITE)
    return Appended(
        events=events,
        run=stored.complete_run(run.run, row),
        entities=[_entity_in(run, event) for event in events],
        interleaved=interleaved,
        message_ids=message_ids,
        deduplicated=False,
        next_cursor=cursors.run_cursor(run.run_id, run.head_seq),
        wake_lease=_lease_wake(tx, woken, request.lease_wake_ms, now_ms),
    )


def _lease_wake(
    tx: Transaction, message_id: str | None, lease_ms: int | None, now_ms: int
) -> queue_service_pb2.LeasedMessage | None:
    if message_id is None or lease_ms is None:
        return None
    return queue.claim_one(tx, message_id, lease_ms, now_ms)


def _entity_in(run: Draft, event: Event) -> EntityMessage | None:
    kind = KINDS[event.type].entity
    return run.touched[kind, event.correlation_id].message if kind is not None else None


def _interleaved(tx: Transaction, run_id: str, request: Append, before: Head) -> event_pb2.LogDelta | None:
    """What lay between the caller's position and its first own event. A loaded log grows by the next seq only, so the
    caller must take this in first (`test_own_event_never_hides_what_lay_before_it`)."""
    after_seq = delta.position_of(tx, run_id, before, request.snapshot, request.delta_after_seq)
    if after_seq is None:
        return None
    return delta.between(tx, run_id, after_seq, before, limits.INTERLEAVED_BYTES_MAX)


def _repeated(tx: Transaction, request: Append, known: RequestRow) -> Appended:
    """The first answer again, from the log; the run and its entities as they are now."""
    row = tx.run(known.run_id)
    if row is None:
        raise refusals.run_not_found(known.run_id)
    count = known.last_seq - known.first_seq + 1
    rows = tx.events(known.run_id, after_seq=known.first_seq - 1, before_seq=known.last_seq + 1, limit=count)
    delta.require_dense(known.run_id, known.first_seq - 1, rows, count)
    events = [stored.event_of(event_row) for event_row in rows]
    return Appended(
        events=events,
        run=stored.run_of(row),
        entities=[_entity_now(tx, event) for event in events],
        interleaved=_interleaved(tx, known.run_id, request, _head_before(tx, known)),
        message_ids=list(known.message_ids),
        deduplicated=True,
        next_cursor=cursors.run_cursor(known.run_id, known.last_seq),
    )


def _head_before(tx: Transaction, known: RequestRow) -> Head:
    row = tx.event(known.run_id, known.first_seq - 1)
    return Head(row.seq, row.at) if row is not None else Head(0, 0)


def _entity_now(tx: Transaction, event: Event) -> EntityMessage | None:
    kind = KINDS[event.type].entity
    row = tx.entity(event.run_id, kind, event.correlation_id) if kind is not None else None
    return stored.entity_of(row) if row is not None else None
