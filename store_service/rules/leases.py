"""Leases: what a consumer may do with a message it holds, and how a lost lease is told.

Owns the fence: a receipt counts while the message is LEASED under that very receipt, and no longer. A lease that ended
by the clock but that nobody took over still counts, because nobody else can have worked on it; once a claim
swept it (``queue.take_back_expired``) it is lost for good. Must never tell "done" for something that was not.
Proof: `tests/queue/test_leases.py`. Read ``queue.py`` first.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Final

from holdfast.refusal import Refusal
from holdfast.v1 import error_pb2, payload_pb2, queue_service_pb2
from store_service import limits
from store_service.engines.contract import MessageQuery, MessageRow, QueueNote, Reader, Transaction
from store_service.rules import clock
from store_service.rules.queue import DEAD, EXPIRED, LEASED, READY, note_group, put_back
from store_service.rules.queue_reading import told

LeaseResult = queue_service_pb2.LeaseResult

LOST: Final = "LEASE_LOST"

#: A receipt that was given back is remembered under this name, so that a repeated nack is told "done" and an
#: acknowledgement that comes after it is not.
_GIVEN_BACK: Final = "nack {receipt}"

#: Rows read at once where all leases are looked at.
_PAGE: Final = 500

#: Forgotten rows per settled receipt: more than come in, so that the table does not grow.
_FORGET_PER_RECEIPT: Final = 2


@dataclass(frozen=True, slots=True)
class GiveBack:
    """What a nack asks for. ``delay_ms`` 0 keeps the place in the order of sending. ``action`` is a NackAction."""

    action: int
    delay_ms: int = 0
    reason: str = ""


def require_held(tx: Transaction, receipt: str, now_ms: int) -> None:
    """Fence a writer that works under a lease. Raises Refusal LEASE_LOST once it is settled or taken over."""
    _held(tx, receipt)


def acknowledge(tx: Transaction, receipt: str, now_ms: int) -> None:
    """Delete the message of a receipt, as part of a create. Raises Refusal LEASE_LOST when settled or taken over."""
    _acknowledge(tx, _held(tx, receipt), now_ms)


def ack_many(tx: Transaction, receipts: Sequence[str], now_ms: int) -> list[LeaseResult]:
    """Delete leased messages; one result a receipt, in order. A receipt that was acknowledged before is ok."""
    tx.forget_expired(now_ms, _FORGET_PER_RECEIPT * len(receipts))
    return [_ack(tx, receipt, now_ms) for receipt in receipts]


def nack_many(tx: Transaction, receipts: Sequence[str], wish: GiveBack, now_ms: int) -> list[LeaseResult]:
    """Give leased messages back; one result a receipt, in order. A receipt that was given back before is ok."""
    tx.forget_expired(now_ms, _FORGET_PER_RECEIPT * len(receipts))
    return [_nack(tx, receipt, wish, now_ms) for receipt in receipts]


def extend_many(
    tx: Transaction,
    receipts: Sequence[str],
    lease_ms: int | None,
    now_ms: int,
    progress: payload_pb2.Payload | None = None,
) -> list[LeaseResult]:
    """Prolong leases to ``lease_ms`` from now (None: the length each was taken with); one result a receipt.

    ``progress`` is kept with each message for its next consumer; None keeps what was said before.
    """
    return [_extend(tx, receipt, lease_ms, now_ms, progress) for receipt in receipts]


def lease_lost(reader: Reader, receipt: str) -> Refusal:
    """Build the refusal of a receipt that no longer counts, with what is known of its message."""
    message_id = receipt.partition(".")[0]
    row = reader.message(message_id)
    detail = error_pb2.LeaseLost(message_id=message_id)
    if row is not None and row.state == LEASED:
        detail.taken_over = True
    ended_ms = _ended_ms(reader, receipt)
    if ended_ms is not None:
        detail.expire_time.CopyFrom(clock.to_timestamp(ended_ms))
    return Refusal(
        LOST,
        f"the lease on message {message_id} is lost: {_what_became(reader, receipt, row)}",
        metadata={"message_id": message_id, "receipt": receipt},
        detail=detail,
    )


def _ended_ms(reader: Reader, receipt: str) -> int | None:
    """Return when a lease ended: by the clock, given back or acknowledged. None once that is forgotten."""
    for trace in (EXPIRED, _GIVEN_BACK, "{receipt}"):
        until_ms = reader.settled_until(trace.format(receipt=receipt))
        if until_ms is not None:
            return until_ms - limits.REQUEST_ID_WINDOW_MS
    return None


def _what_became(reader: Reader, receipt: str, row: MessageRow | None) -> str:
    if reader.settled_until(receipt) is not None:
        return "this receipt was acknowledged before"
    if row is None:
        return "the message is gone"
    return _FATES[row.state]


_FATES: Final[Mapping[int, str]] = MappingProxyType(
    {
        READY: "it ended and the message waits for its next delivery",
        LEASED: "it ended and another consumer holds the message now",
        DEAD: "it ended and the message is a dead letter",
    }
)


def shorten_impossible(tx: Transaction, now_ms: int) -> int:
    """Let leases that end later than any lease can end after their own length from now; returns how many.

    For the start of a store. Such a lease was given while the wall was wrong; with the wall put right it would last
    for years, with nobody to renew it. Proof: tests/clocks/test_wall_clocks.py.
    """
    found = [row for row in _all_leased(tx) if (row.lease_expire_ms or 0) > now_ms + limits.LEASE_MS_MAX]
    for row in found:
        # It was due when it was leased, by a time that may be years ahead as well.
        deliver_ms = min(row.deliver_ms, now_ms)
        tx.put_message(replace(row, deliver_ms=deliver_ms, lease_expire_ms=now_ms + row.lease_ms))
        tx.note(QueueNote(row.queue, now_ms + row.lease_ms))
    return len(found)


def _all_leased(tx: Transaction) -> Iterator[MessageRow]:
    queue = ""
    while names := tx.queue_names(after=queue, limit=_PAGE):
        for queue in names:
            number = 0
            while page := tx.messages(MessageQuery(queue=queue, limit=_PAGE, after_number=number, states=(LEASED,))):
                yield from page
                number = page[-1].number


def _held(tx: Transaction, receipt: str) -> MessageRow:
    row = tx.leased_message(receipt)
    if row is None:
        raise lease_lost(tx, receipt)
    return row


def _acknowledge(tx: Transaction, row: MessageRow, now_ms: int) -> None:
    tx.delete_message(row.message_id)
    tx.settle(row.receipt, now_ms + limits.REQUEST_ID_WINDOW_MS)
    note_group(tx, row)


def _ack(tx: Transaction, receipt: str, now_ms: int) -> LeaseResult:
    row = tx.leased_message(receipt)
    if row is not None:
        _acknowledge(tx, row, now_ms)
    return _result(receipt, is_done=row is not None or tx.settled_until(receipt) is not None)


def _nack(tx: Transaction, receipt: str, wish: GiveBack, now_ms: int) -> LeaseResult:
    trace = _GIVEN_BACK.format(receipt=receipt)
    row = tx.leased_message(receipt)
    if row is not None:
        _ACTIONS[wish.action](tx, row, wish, now_ms)
        tx.settle(trace, now_ms + limits.REQUEST_ID_WINDOW_MS)
    return _result(receipt, is_done=row is not None or tx.settled_until(trace) is not None)


def _extend(
    tx: Transaction, receipt: str, lease_ms: int | None, now_ms: int, progress: payload_pb2.Payload | None
) -> LeaseResult:
    row = tx.leased_message(receipt)
    if row is None:
        return _result(receipt, is_done=False)
    expire_ms = now_ms + (row.lease_ms if lease_ms is None else lease_ms)
    said = row if progress is None else told(row, progress)
    tx.put_message(replace(said, lease_expire_ms=expire_ms))
    if row.lease_expire_ms is None or expire_ms < row.lease_expire_ms:
        tx.note(QueueNote(row.queue, expire_ms))
    result = _result(receipt, is_done=True)
    result.expire_time.CopyFrom(clock.to_timestamp(expire_ms))
    return result


def _result(receipt: str, *, is_done: bool) -> LeaseResult:
    return LeaseResult(receipt=receipt, ok=is_done, reason="" if is_done else LOST)


def _deliver_again(tx: Transaction, row: MessageRow, wish: GiveBack, now_ms: int) -> None:
    is_spent = row.delivery_count >= row.max_deliveries
    put_back(tx, row, state=DEAD if is_spent else READY, deliver_ms=_next_ms(row, wish, now_ms), reason=wish.reason)


def _release(tx: Transaction, row: MessageRow, wish: GiveBack, now_ms: int) -> None:
    uncounted = replace(row, delivery_count=max(0, row.delivery_count - 1))
    put_back(tx, uncounted, state=READY, deliver_ms=_next_ms(row, wish, now_ms), reason=wish.reason)


def _bury(tx: Transaction, row: MessageRow, wish: GiveBack, now_ms: int) -> None:
    put_back(tx, row, state=DEAD, deliver_ms=row.deliver_ms, reason=wish.reason or "made a dead letter by its consumer")


def _next_ms(row: MessageRow, wish: GiveBack, now_ms: int) -> int:
    return now_ms + wish.delay_ms if wish.delay_ms else row.deliver_ms


#: NackAction → what becomes of the message. `tests/queue/test_leases.py` checks that every action is here.
_ACTIONS: Final[Mapping[int, Callable[[Transaction, MessageRow, GiveBack, int], None]]] = MappingProxyType(
    {
        queue_service_pb2.NACK_ACTION_UNSPECIFIED: _deliver_again,
        queue_service_pb2.NACK_ACTION_RELEASE: _release,
        queue_service_pb2.NACK_ACTION_DEAD_LETTER: _bury,
    }
)
