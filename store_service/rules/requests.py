"""Request ids: what makes a retry safe.

Owns the digest of a request and the memory of what it wrote. A repeat within the window gets the first answer,
before any other check, whatever has happened since; the same id with other content is refused. It must never be
used up by a refused call: `remember` runs in the transaction of the write.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from holdfast.refusal import Refusal
from holdfast.v1 import event_pb2, queue_service_pb2
from store_service import limits
from store_service.engines.contract import Reader, RequestRow, Transaction
from store_service.rules import soundness
from store_service.rules.contents import content


def digest(
    run_id: str, events: Sequence[event_pb2.Event], messages: Sequence[queue_service_pb2.NewQueueMessage]
) -> bytes:
    """Return the digest of what a request says: run id, events and messages; not its guards, receipts or view."""
    total = hashlib.sha256()
    pieces = [
        run_id.encode(),
        *(content(event) for event in events),
        b"messages",
        *(message.SerializeToString(deterministic=True) for message in messages),
    ]
    for piece in pieces:
        total.update(len(piece).to_bytes(8, "big"))
        total.update(piece)
    return total.digest()


def known(reader: Reader, request_id: str) -> RequestRow | None:
    """Return what is remembered of a request id, None when nothing is. Raises Refusal CORRUPT_LOG."""
    row = reader.request(request_id)
    if row is not None:
        soundness.require_sound_request(row)
    return row


def recall(reader: Reader, request_id: str, asked: bytes, now_ms: int) -> RequestRow | None:
    """Return what a request id wrote before; None when it is new or its time is over.

    Raises Refusal REQUEST_ID_REUSED when it was used for something else, CORRUPT_LOG when what was noted has changed.
    """
    remembered = known(reader, request_id)
    if remembered is None or remembered.expire_ms <= now_ms:
        return None
    if remembered.digest != asked:
        raise Refusal(
            "REQUEST_ID_REUSED",
            f"request id {request_id} was used for another request, on run {remembered.run_id}; use a new id",
            metadata={"request_id": request_id, "run_id": remembered.run_id},
        )
    return remembered


def remember(
    tx: Transaction,
    request_id: str,
    asked: bytes,
    events: Sequence[event_pb2.Event],
    message_ids: Sequence[str],
    now_ms: int,
) -> None:
    """Note what a request wrote, for a day."""
    row = RequestRow(
        request_id=request_id,
        digest=asked,
        run_id=events[0].run_id,
        first_seq=events[0].seq,
        last_seq=events[-1].seq,
        message_ids=tuple(message_ids),
        expire_ms=now_ms + limits.REQUEST_ID_WINDOW_MS,
    )
    tx.put_request(soundness.sealed_request(row))
