"""Looking at queues without touching them: counts, names, pages of messages.

Owns the way from a message row to a QueueMessage. Must never write, and shows no receipts: a receipt proves a lease,
and looking must not hand it out. Read ``queue.py`` for what moves messages.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

from google.protobuf.message import DecodeError

from holdfast.refusal import Refusal
from holdfast.v1 import event_pb2, payload_pb2, queue_service_pb2
from store_service import limits
from store_service.engines.contract import MessageQuery, MessageRow, QueueCounts, Reader
from store_service.rules import clock, soundness, views
from store_service.rules.views import View

#: Rows read at once: so few that the largest messages are not all in memory before the page is full.
_SLICE: Final = 32


@dataclass(frozen=True, slots=True)
class Page:
    """Which messages of a queue to list; ``states`` and ``group`` empty mean all."""

    queue: str
    after_number: int
    limit: int
    states: tuple[int, ...]
    group: str
    view: View


def message_of(row: MessageRow) -> queue_service_pb2.QueueMessage:
    """Return the message of a row, payload as stored. Raises Refusal CORRUPT_LOG."""
    message = _body_of(row)
    message.message_id, message.queue, message.group = row.message_id, row.queue, row.group
    message.state = queue_service_pb2.QueueMessageState.ValueType(row.state)
    message.priority, message.last_reason = row.priority, row.last_reason
    message.delivery_count, message.max_deliveries = row.delivery_count, row.max_deliveries
    message.deliver_time.CopyFrom(clock.to_timestamp(row.deliver_ms))
    if row.lease_expire_ms is not None:
        message.lease_expire_time.CopyFrom(clock.to_timestamp(row.lease_expire_ms))
    return message


def told(row: MessageRow, progress: payload_pb2.Payload) -> MessageRow:
    """Return a message with what its consumer said last. Raises Refusal CORRUPT_LOG."""
    body = _body_of(row)
    body.progress.CopyFrom(progress)
    return soundness.sealed(replace(row, body=body.SerializeToString()))


def _body_of(row: MessageRow) -> queue_service_pb2.QueueMessage:
    soundness.require_sound(row)
    try:
        return queue_service_pb2.QueueMessage.FromString(row.body)
    except DecodeError as error:
        raise soundness.corrupt_message(row, "cannot be read") from error


def require_queue(reader: Reader, queue: str, now_ms: int) -> QueueCounts:
    """Return the counts of a queue. Raises Refusal RESOURCE_NOT_FOUND before its first message."""
    counts = reader.queue_counts(queue, now_ms)
    if counts is None:
        raise Refusal(
            "RESOURCE_NOT_FOUND",
            f"there is no queue {queue}: a queue exists from its first message on",
            metadata={"queue": queue},
        )
    return counts


def get_queue(reader: Reader, queue: str, now_ms: int) -> queue_service_pb2.Queue:
    """Return counts and ages of a queue at this moment. Raises Refusal RESOURCE_NOT_FOUND."""
    return _summary(require_queue(reader, queue, now_ms), now_ms)


def list_queues(reader: Reader, *, after: str, limit: int, now_ms: int) -> list[queue_service_pb2.Queue]:
    """Return queues by name, from right after ``after`` on."""
    return [get_queue(reader, name, now_ms) for name in reader.queue_names(after=after, limit=limit)]


def list_messages(reader: Reader, page: Page, now_ms: int) -> tuple[list[queue_service_pb2.QueueMessage], int]:
    """Return messages oldest first, and the number of the last when others follow, else 0.

    A page ends early by size. Raises Refusal RESOURCE_NOT_FOUND, CORRUPT_LOG.
    """
    require_queue(reader, page.queue, now_ms)
    found: list[queue_service_pb2.QueueMessage] = []
    room, number = limits.PAGE_BYTES_MAX, page.after_number
    while len(found) < page.limit and room > 0:
        rows = reader.messages(_query(page, number, min(_SLICE, page.limit - len(found))))
        if not rows:
            return found, 0
        for row in rows:
            found.append(show(message_of(row), page.view))
            room, number = room - found[-1].ByteSize(), row.number
            if room <= 0:
                break
    return found, number if reader.messages(_query(page, number, 1)) else 0


def show(message: queue_service_pb2.QueueMessage, view: View) -> queue_service_pb2.QueueMessage:
    """Change the payloads of a message in place to ``view``, and return it."""
    for name in ("payload", "progress"):
        if message.HasField(name):
            # A payload is shown by the same rule wherever it stands; the rule speaks of events.
            shown: payload_pb2.Payload = getattr(message, name)
            carrier = event_pb2.Event(hook_received=event_pb2.HookReceived(payload=shown))
            shown.CopyFrom(views.show_event(carrier, view).hook_received.payload)
    return message


def _query(page: Page, after_number: int, limit: int) -> MessageQuery:
    return MessageQuery(queue=page.queue, limit=limit, after_number=after_number, states=page.states, group=page.group)


def _summary(counts: QueueCounts, now_ms: int) -> queue_service_pb2.Queue:
    queue = queue_service_pb2.Queue(
        name=counts.queue,
        ready_count=counts.ready,
        delayed_count=counts.delayed,
        leased_count=counts.leased,
        dead_count=counts.dead,
    )
    if counts.oldest_ready_ms is not None:
        queue.oldest_ready_age.FromMilliseconds(max(0, now_ms - counts.oldest_ready_ms))
    return queue
