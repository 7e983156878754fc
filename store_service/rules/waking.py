"""Facts queue their own wake-ups: a fact can never be recorded without the run being queued.

Owns the wake message of a run that named a `wake_queue`: sent in the transaction of the creation and of every batch
from outside that moves the marker. Not when the batch ends the run (nothing is left to decide; its parent is woken
instead, which may wait for it) and not when its writer holds the run under a lease (it sees its own events itself,
and is the one a wake-up would go to).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Final

from holdfast.v1 import entity_pb2, event_pb2, payload_pb2, queue_service_pb2
from store_service.engines.contract import Transaction
from store_service.rules import queue, stored
from store_service.rules.kinds import KINDS, moves_marker

#: A run may be woken any number of times: a wake-up never becomes a dead letter by itself.
_DELIVERIES_MAX: Final = 100_000


def wake(
    tx: Transaction,
    run: entity_pb2.Run,
    events: Sequence[event_pb2.Event],
    is_held: bool,
    now_ms: int,
    *,
    is_leased: bool = False,
) -> str | None:
    """Queue a wake-up of the run when ``events``, one committed batch, ask for one. Repeats while one waits are one.

    Returns the id of the wake message; None when none was asked for. ``is_leased``: the caller leases the first
    one itself.
    """
    if any(KINDS[event.type].ends_run for event in events):
        _wake_parent(tx, run, now_ms)
        return None
    if not run.wake_queue:
        return None
    if events[0].type == event_pb2.EVENT_TYPE_RUN_CREATED:
        return queue.enqueue(tx, message_for(run, events[0].run_created), now_ms, is_told=not is_leased)[0]
    if not is_held and any(_is_from_outside(event) and moves_marker(event) for event in events):
        return queue.enqueue(tx, message_for(run), now_ms)[0]
    return None


def _wake_parent(tx: Transaction, run: entity_pb2.Run, now_ms: int) -> None:
    """The end of a run is news for the run that started it: it may wait for the result, let go of by everybody."""
    row = tx.peek_run(run.parent_run_id) if run.parent_run_id else None
    if row is None or row.terminal_seq:
        return
    parent = stored.body_of_run(row)
    if parent.wake_queue:
        queue.enqueue(tx, message_for(parent), now_ms)


def message_for(run: entity_pb2.Run, created: event_pb2.RunCreated | None = None) -> queue_service_pb2.NewQueueMessage:
    """Return the wake message of a run; for its creation, due at its start time."""
    message = queue_service_pb2.NewQueueMessage(
        queue=run.wake_queue,
        group=run.run_id,
        idempotency_key=f"wake:{run.run_id}",
        payload=payload_pb2.Payload(text=json.dumps({"run_id": run.run_id}, separators=(",", ":"))),
        max_deliveries=_DELIVERIES_MAX,
    )
    if created is not None and created.HasField("start_time"):
        message.deliver_time.CopyFrom(created.start_time)
    return message


def _is_from_outside(event: event_pb2.Event) -> bool:
    return event.origin != event_pb2.EVENT_ORIGIN_REPLAY
