"""Rows for the conformance suite: plausible defaults, every field open to the test."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from store_service.engines.contract import (
    EntityKind,
    EntityRow,
    EventRow,
    MessageRow,
    RequestRow,
    RunRow,
    TokenRow,
    Transaction,
)

READY, LEASED, DEAD = 1, 2, 3

_RUN = RunRow(
    run_id="run_a",
    workflow_name="checkout",
    status=2,
    create_ms=1_000,
    update_ms=1_000,
    expire_ms=None,
    parent_run_id="",
    head_seq=1,
    head_at=1_000,
    out_of_band_at=0,
    out_of_band_seq=0,
    replay_seq=0,
    started_seq=0,
    terminal_seq=0,
    body=b"run",
    head_checksum=b"run_sum!",
)
_ENTITY = EntityRow(
    run_id="run_a",
    kind=EntityKind.STEP,
    entity_id="step_a",
    status=1,
    is_open=True,
    created_seq=1,
    current_seq=1,
    terminal_seq=0,
    due_ms=None,
    body=b"entity",
)
_MESSAGE = MessageRow(
    number=0,
    message_id="msg_a",
    queue="runs",
    state=READY,
    group="",
    key="",
    priority=0,
    create_ms=1_000,
    deliver_ms=1_000,
    delivery_count=0,
    max_deliveries=20,
    receipt="",
    lease_ms=0,
    lease_expire_ms=None,
    last_reason="",
    body=b"message",
    checksum=b"sum of a message",
)
_REQUEST = RequestRow(
    request_id="req_a",
    digest=b"digest",
    run_id="run_a",
    first_seq=1,
    last_seq=2,
    message_ids=("msg_a", "msg_b"),
    expire_ms=5_000,
    checksum=b"sum of a request",
)


def run(run_id: str = "run_a", **changes: Any) -> RunRow:
    create_ms = changes.get("create_ms", 1_000)
    return replace(_RUN, run_id=run_id, **{"update_ms": create_ms, **changes})


def event(run_id: str = "run_a", seq: int = 1, **changes: Any) -> EventRow:
    at = changes.pop("at", 1_000 * seq)
    fields = {"event_id": f"evt_{at:020}", "kind": 1, "entity_id": "", "body": b"event", "checksum": b"sum", **changes}
    return EventRow(run_id=run_id, seq=seq, at=at, **fields)


def entity(entity_id: str = "step_a", **changes: Any) -> EntityRow:
    created_seq = changes.get("created_seq", 1)
    return replace(_ENTITY, entity_id=entity_id, **{"current_seq": created_seq, **changes})


def message(message_id: str = "msg_a", **changes: Any) -> MessageRow:
    return replace(_MESSAGE, message_id=message_id, **changes)


def leased(row: MessageRow, receipt: str, *, until_ms: int = 60_000) -> MessageRow:
    return replace(
        row,
        state=LEASED,
        receipt=receipt,
        lease_ms=30_000,
        lease_expire_ms=until_ms,
        delivery_count=row.delivery_count + 1,
    )


def released(row: MessageRow) -> MessageRow:
    return replace(row, state=READY, receipt="", lease_ms=0, lease_expire_ms=None)


def request(request_id: str = "req_a", **changes: Any) -> RequestRow:
    return replace(_REQUEST, request_id=request_id, **changes)


def token(text: str = "token", **changes: Any) -> TokenRow:
    return replace(TokenRow(token=text, run_id="run_a", hook_id="hook_a"), **changes)


def messages(*rows: MessageRow) -> Callable[[Transaction], list[MessageRow]]:
    """Return a unit that inserts messages."""
    return lambda tx: [tx.insert_message(row) for row in rows]
