"""What an engine keeps of queues: the part of the engine contract that is about messages and their leases.

A message is sent, leased under a receipt, and settled or given back; messages of one group are handed out one at a
time. Who gets which message is decided in ``store_service/rules/queue.py``; ``contract.py`` puts this into Reader and
Transaction. All times are epoch milliseconds (int). ``body`` columns are serialized protobuf messages.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class MessageRow:
    """One queue message. ``number`` orders sends (0 before insertion). ``state`` is a QueueMessageState.

    ``receipt`` and ``lease_expire_ms`` are set while LEASED ("" and None otherwise); ``lease_ms`` is the length
    of the current lease. ``body`` is a QueueMessage that holds payload, headers and create_time only. ``checksum`` is
    over the body and whose it is; b"" for a message of a version that kept none.
    """

    number: int
    message_id: str
    queue: str
    state: int
    group: str
    key: str
    priority: int
    create_ms: int
    deliver_ms: int
    delivery_count: int
    max_deliveries: int
    receipt: str
    lease_ms: int
    lease_expire_ms: int | None
    last_reason: str
    body: bytes
    checksum: bytes = b""


@dataclass(frozen=True, slots=True)
class QueueCounts:
    """Counts of one queue at a moment. ``oldest_ready_ms`` is the deliver_ms of the oldest deliverable one."""

    queue: str
    ready: int
    delayed: int
    leased: int
    dead: int
    oldest_ready_ms: int | None


@dataclass(frozen=True, slots=True)
class MessageQuery:
    """Filter and page of messages of one queue, oldest first by ``number``."""

    queue: str
    limit: int
    after_number: int = 0
    states: tuple[int, ...] = ()
    group: str = ""


@dataclass(frozen=True, slots=True)
class QueueNote:
    """Told after a commit: something in ``queue`` may be delivered from ``ready_ms`` on (0: now)."""

    queue: str
    ready_ms: int


class QueueReads(Protocol):
    """Reads of queues, part of ``contract.Reader``."""

    def message(self, message_id: str) -> MessageRow | None: ...

    def messages(self, query: MessageQuery) -> list[MessageRow]: ...

    def leased_message(self, receipt: str) -> MessageRow | None:
        """Return the message that is leased under this very receipt (its lease may have expired unnoticed)."""

    def settled_until(self, receipt: str) -> int | None:
        """Return until when it is remembered that this receipt was settled; None when it was not, or is forgotten."""

    def waiting_message(self, queue: str, key: str) -> MessageRow | None:
        """Return the oldest READY message of the queue with this idempotency key."""

    def queue_counts(self, queue: str, now_ms: int) -> QueueCounts | None:
        """Return the counts of a queue, None when it never had a message."""

    def queue_names(self, *, after: str, limit: int) -> list[str]: ...


class QueueWrites(Protocol):
    """Writes of queues, and the reads that only who writes needs; part of ``contract.Transaction``."""

    def insert_message(self, row: MessageRow) -> MessageRow:
        """Insert a message and return it with its ``number``."""

    def put_message(self, row: MessageRow) -> None:
        """Replace a message."""

    def delete_message(self, message_id: str) -> None: ...

    def settle(self, receipt: str, expire_ms: int) -> None:
        """Remember that a receipt was settled, until ``expire_ms``."""

    def expired_leases(self, queue: str, now_ms: int, limit: int) -> list[MessageRow]:
        """Return LEASED messages whose lease ended at or before now."""

    def deliverable(self, queue: str, now_ms: int, limit: int) -> list[MessageRow]:
        """Return READY messages that are due and whose group has no LEASED message in the queue, at most one a group.

        Ordered by priority (high first), deliver_ms, number. Finds the rows through an index, also
        with 100,000 delayed messages in the queue.
        """

    def next_ready_ms(self, queue: str, now_ms: int) -> int | None:
        """Return when the queue may next have something to deliver without a further commit: the earliest
        lease end or deliver_ms above now; None for never."""
