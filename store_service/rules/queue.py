"""The queue: sending, handing out, and bringing back the dead.

Owns what becomes of a message up to the moment a consumer holds it; what the consumer may then do is ``leases.py``.
Pure functions over a ``Transaction``: an event and the messages born of it commit together (law 4). Must never wait and
never read a clock. Lease ends are compared with the ``now_ms`` that comes in, which ``api/clock.py`` keeps steady.
Proof: `tests/queue`. Read ``queue_reading.py`` for looking without touching.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from holdfast.refusal import Refusal
from holdfast.v1 import queue_service_pb2
from store_service import limits
from store_service.engines.contract import MessageQuery, MessageRow, QueueNote, Transaction
from store_service.rules import clock, soundness
from store_service.rules.queue_reading import message_of, require_queue

READY: Final = queue_service_pb2.QUEUE_MESSAGE_STATE_READY
LEASED: Final = queue_service_pb2.QUEUE_MESSAGE_STATE_LEASED
DEAD: Final = queue_service_pb2.QUEUE_MESSAGE_STATE_DEAD

#: What `last_reason` says after a lease that nobody settled.
LEASE_EXPIRED: Final = "lease expired"

#: Expired leases taken back, and dead letters redriven, in one unit of work: bounds the time other writes wait.
_SWEEP_MAX: Final = 500

#: A receipt whose lease ended by the clock is remembered under this name among the settled ones.
EXPIRED: Final = "expired {receipt}"

#: Forgotten rows for each lease that ended: more than come in, so that the table does not grow.
_FORGET_PER_LEASE: Final = 2

_MESSAGE_PREFIX: Final = "msg_"


def enqueue(
    tx: Transaction, message: queue_service_pb2.NewQueueMessage, now_ms: int, *, is_told: bool = True
) -> tuple[str, bool]:
    """Send one message; returns its id and whether a waiting message with its key took its place.

    A message whose key is waiting already keeps the earlier deliver_time of the two. A past deliver_time means now.
    ``is_told`` False: waiting consumers hear nothing, for ``claim_one`` follows in the same unit.
    """
    deliver_ms = max(clock.to_ms(message.deliver_time), now_ms) if message.HasField("deliver_time") else now_ms
    waiting = tx.waiting_message(message.queue, message.idempotency_key) if message.idempotency_key else None
    if waiting is not None:
        _hasten(tx, waiting, deliver_ms)
        return waiting.message_id, True
    row = tx.insert_message(_new_row(message, deliver_ms, now_ms))
    if is_told and not _is_group_held(tx, row):
        # Behind a held group nothing can be handed out: whoever ends the lease tells the consumers (`note_group`).
        tx.note(QueueNote(row.queue, deliver_ms))
    return row.message_id, False


def claim(
    tx: Transaction, queues: Sequence[str], limit: int, lease_ms: int, now_ms: int
) -> list[queue_service_pb2.LeasedMessage]:
    """Lease up to ``limit`` messages from the first of ``queues`` that has one to deliver.

    At most one of a group, and none of a group that is held. In order of priority, due time, sending. Leases
    that ended are taken back first. Returns an empty list when nothing is deliverable. A message that is not what was
    sent becomes a dead letter.
    """
    for queue in queues:
        take_back_expired(tx, queue, now_ms)
        while rows := tx.deliverable(queue, now_ms, limit):
            broken = [row for row in rows if not soundness.is_sound(row)]
            for row in broken:
                # Handed out to nobody, and in nobody's way: the queue goes on with the others.
                put_back(tx, row, state=DEAD, deliver_ms=row.deliver_ms, reason=soundness.NOT_WHAT_WAS_SENT)
            if len(broken) < len(rows):
                return [_lease(tx, row, lease_ms, now_ms) for row in rows if row not in broken]
    return []


def claim_one(tx: Transaction, message_id: str, lease_ms: int, now_ms: int) -> queue_service_pb2.LeasedMessage | None:
    """Lease this very message. When it is not due, or another one of its group is held, consumers are told of it."""
    row = tx.message(message_id)
    if row is None or row.state != READY:
        return None
    if row.deliver_ms > now_ms or _is_group_held(tx, row):
        tx.note(QueueNote(row.queue, row.deliver_ms))
        return None
    return _lease(tx, row, lease_ms, now_ms)


def take_back_expired(tx: Transaction, queue: str, now_ms: int) -> None:
    """Make messages whose lease ended visible again, or dead when they had all their deliveries."""
    expired = tx.expired_leases(queue, now_ms, _SWEEP_MAX)
    for row in expired:
        ended_ms = now_ms if row.lease_expire_ms is None else row.lease_expire_ms
        # For who still works under it: `leases.lease_lost` tells when that was.
        tx.settle(EXPIRED.format(receipt=row.receipt), ended_ms + limits.REQUEST_ID_WINDOW_MS)
        is_spent = row.delivery_count >= row.max_deliveries
        put_back(tx, row, state=DEAD if is_spent else READY, deliver_ms=row.deliver_ms, reason=LEASE_EXPIRED)
    if expired:
        tx.forget_expired(now_ms, _FORGET_PER_LEASE * len(expired))


def put_back(tx: Transaction, row: MessageRow, *, state: int, deliver_ms: int, reason: str) -> None:
    """End a delivery: the message is READY from ``deliver_ms`` on, or DEAD; its group may go on."""
    tx.put_message(
        replace(
            row,
            state=state,
            deliver_ms=deliver_ms,
            receipt="",
            lease_ms=0,
            lease_expire_ms=None,
            last_reason=reason,
        )
    )
    if state == READY:
        tx.note(QueueNote(row.queue, deliver_ms))
    note_group(tx, row)


def note_group(tx: Transaction, row: MessageRow) -> None:
    """Tell consumers of the queue when the group of a message that is no longer held has others waiting."""
    if not row.group:
        return
    # Two, because the message itself may be one of them again; which of the others goes first is for `claim`.
    waiting = tx.messages(MessageQuery(queue=row.queue, limit=2, states=(READY,), group=row.group))
    if any(other.message_id != row.message_id for other in waiting):
        tx.note(QueueNote(row.queue, 0))


def redrive(tx: Transaction, queue: str, message_ids: Sequence[str], now_ms: int) -> int:
    """Put dead letters back as if they had never been delivered; returns how many.

    With ids, exactly those, all or none: raises Refusal RESOURCE_NOT_FOUND for one that is not in the queue; one that
    is not dead is left as it is. Without ids, all of the queue up to ``_SWEEP_MAX``: call again until 0 comes back.
    """
    require_queue(tx, queue, now_ms)
    if message_ids:
        rows = [_message_in(tx, queue, message_id) for message_id in dict.fromkeys(message_ids)]
    else:
        rows = tx.messages(MessageQuery(queue=queue, limit=_SWEEP_MAX, states=(DEAD,)))
    dead = [row for row in rows if row.state == DEAD]
    for row in dead:
        tx.put_message(replace(row, state=READY, deliver_ms=now_ms, delivery_count=0))
        tx.note(QueueNote(queue, now_ms))
    return len(dead)


def _message_in(tx: Transaction, queue: str, message_id: str) -> MessageRow:
    row = tx.message(message_id)
    if row is None or row.queue != queue:
        raise Refusal(
            "RESOURCE_NOT_FOUND",
            f"queue {queue} has no message {message_id}",
            metadata={"queue": queue, "message_id": message_id},
        )
    return row


def _is_group_held(tx: Transaction, row: MessageRow) -> bool:
    if not row.group:
        return False
    return bool(tx.messages(MessageQuery(queue=row.queue, limit=1, states=(LEASED,), group=row.group)))


def _hasten(tx: Transaction, waiting: MessageRow, deliver_ms: int) -> None:
    if deliver_ms < waiting.deliver_ms:
        tx.put_message(replace(waiting, deliver_ms=deliver_ms))
        tx.note(QueueNote(waiting.queue, deliver_ms))


def _new_row(message: queue_service_pb2.NewQueueMessage, deliver_ms: int, now_ms: int) -> MessageRow:
    body = queue_service_pb2.QueueMessage(headers=message.headers, create_time=clock.to_timestamp(now_ms))
    if message.HasField("payload"):
        body.payload.CopyFrom(message.payload)
    row = MessageRow(
        number=0,
        message_id=clock.mint(_MESSAGE_PREFIX, now_ms),
        queue=message.queue,
        state=READY,
        group=message.group,
        key=message.idempotency_key,
        priority=message.priority,
        create_ms=now_ms,
        deliver_ms=deliver_ms,
        delivery_count=0,
        max_deliveries=message.max_deliveries or limits.MAX_DELIVERIES_DEFAULT,
        receipt="",
        lease_ms=0,
        lease_expire_ms=None,
        last_reason="",
        body=body.SerializeToString(),
    )
    return soundness.sealed(row)


def _lease(tx: Transaction, row: MessageRow, lease_ms: int, now_ms: int) -> queue_service_pb2.LeasedMessage:
    expire_ms = now_ms + lease_ms
    leased = replace(
        row,
        state=LEASED,
        delivery_count=row.delivery_count + 1,
        receipt=f"{row.message_id}.{secrets.token_urlsafe(12)}",
        lease_ms=lease_ms,
        lease_expire_ms=expire_ms,
    )
    tx.put_message(leased)
    # Whoever sleeps on this queue must be there when the lease ends, should its holder die.
    tx.note(QueueNote(row.queue, expire_ms))
    return queue_service_pb2.LeasedMessage(
        message=message_of(leased), receipt=leased.receipt, expire_time=clock.to_timestamp(expire_ms)
    )
