"""Two things wrong at once: the earlier check of the contract is told, and nothing is used up.

Each test breaks two neighbours of the order: request id → run exists → run terminal → guards → entity, transition,
retry time → receipts → quota. `Book.refused` looks at every row before and after.
"""

from __future__ import annotations

import pytest

from holdfast.v1 import entity_pb2, error_pb2, event_pb2
from store_service import limits
from store_service.rules import queue
from tests.rules import book as write
from tests.rules.book import NOW, Book

LOST = ["msg_nobody.0"]


async def test_a_repeated_request_id_is_answered_although_the_run_has_ended(book: Book) -> None:
    await book.start()
    first = await book.append("run_1", write.step_created(), request_id="req-1")
    await book.append("run_1", write.run_completed())
    again = await book.append("run_1", write.step_created(), request_id="req-1")
    assert again.deduplicated
    assert again.events == first.events
    assert again.run.status == entity_pb2.RUN_STATUS_COMPLETED


async def test_a_repeated_request_id_is_answered_before_any_guard_or_receipt(book: Book) -> None:
    await book.start()
    first = await book.append("run_1", write.step_created(), request_id="req-1", state_seq=2)
    await book.append("run_1", write.cancel_requested())
    again = await book.append("run_1", write.step_created(), request_id="req-1", state_seq=1, held_receipts=LOST)
    assert (again.deduplicated, again.events) == (True, first.events)


async def test_a_reused_request_id_is_told_before_a_missing_run(book: Book) -> None:
    await book.start()
    await book.append("run_1", write.step_created(), request_id="req-1")
    await book.refused("REQUEST_ID_REUSED", "run_none", write.step_created(), request_id="req-1")


async def test_a_missing_run_is_told_before_a_snapshot_that_is_ahead(book: Book) -> None:
    await book.refused("RUN_NOT_FOUND", "run_none", write.step_created(), state_seq=99)


async def test_an_existing_run_is_told_before_its_end(book: Book) -> None:
    await book.start()
    await book.append("run_1", write.run_completed())
    await book.refused("RUN_EXISTS", "run_1", write.run_created(), state_seq=99)


async def test_the_end_of_the_run_is_told_before_a_stale_snapshot(book: Book) -> None:
    await book.start()
    await book.append("run_1", write.cancel_requested(), write.run_cancelled())
    refusal = await book.refused("RUN_TERMINAL", "run_1", write.step_created(), state_seq=1)
    assert refusal.detail == error_pb2.IllegalTransition(
        run_id="run_1",
        attempted=event_pb2.EVENT_TYPE_STEP_CREATED,
        current_status="RUN_STATUS_CANCELLED",
        current_seq=4,
    )


async def test_a_stale_snapshot_is_told_before_an_existing_entity(book: Book) -> None:
    await book.start()
    await book.append("run_1", write.step_created(), write.step_started())
    await book.append("run_1", write.step_completed())
    await book.refused("STALE_SNAPSHOT", "run_1", write.step_created(), state_seq=4)


async def test_a_stale_snapshot_is_told_before_an_illegal_transition(book: Book) -> None:
    await book.start()
    await book.append("run_1", write.cancel_requested())
    await book.refused("STALE_SNAPSHOT", "run_1", write.wait_completed(), state_updated_at=1)


async def test_an_early_event_of_a_batch_is_told_before_a_later_one(book: Book) -> None:
    await book.start()
    refusal = await book.refused(
        "ENTITY_NOT_FOUND", "run_1", write.step_created(), write.step_completed("step_x#1"), write.step_created()
    )
    assert refusal.metadata["step_id"] == "step_x#1"


async def test_an_illegal_transition_is_told_before_a_lost_receipt(book: Book) -> None:
    await book.start()
    await book.append("run_1", write.step_created())
    await book.refused("ILLEGAL_TRANSITION", "run_1", write.step_completed(), ack_receipts=LOST)


async def test_a_retry_that_is_too_early_is_told_before_a_lost_receipt(book: Book) -> None:
    await book.start()
    await book.append("run_1", write.step_created(), write.step_started(), write.step_retrying(retry_ms=NOW + 50))
    refusal = await book.refused("RETRY_TOO_EARLY", "run_1", write.step_started(), held_receipts=LOST)
    assert refusal.retry_after_ms == 50


async def test_a_lost_receipt_is_told_before_a_used_up_quota(book: Book, monkeypatch: pytest.MonkeyPatch) -> None:
    await book.start()
    monkeypatch.setattr(limits, "RUN_EVENTS_MAX", 2)
    await book.refused("LEASE_LOST", "run_1", write.step_created(), held_receipts=LOST)
    await book.refused("LEASE_LOST", "run_1", write.step_created(), ack_receipts=LOST)


async def test_a_used_up_quota_refuses_and_settles_no_receipt(book: Book, monkeypatch: pytest.MonkeyPatch) -> None:
    await book.start()
    await book.write(lambda tx: queue.enqueue(tx, write.message(), NOW))
    [leased] = await book.write(lambda tx: queue.claim(tx, ["mail"], 1, 1000, NOW))
    monkeypatch.setattr(limits, "RUN_EVENTS_MAX", 2)
    refusal = await book.refused("QUOTA_EXCEEDED", "run_1", write.step_created(), ack_receipts=[leased.receipt])
    assert refusal.detail == error_pb2.LimitExceeded(limit="run_events", max=2, actual=3)
    assert await book.read(lambda reader: reader.leased_message(leased.receipt)) is not None


async def test_a_run_that_is_full_can_still_end(book: Book, monkeypatch: pytest.MonkeyPatch) -> None:
    await book.start()
    monkeypatch.setattr(limits, "RUN_EVENTS_MAX", 2)
    ended = await book.append("run_1", write.run_completed())
    assert ended.run.guard.head_seq == 3


async def test_a_run_that_is_full_takes_the_results_of_its_running_steps(
    book: Book, monkeypatch: pytest.MonkeyPatch
) -> None:
    await book.start()
    await book.append("run_1", write.step_created(), write.step_started())
    monkeypatch.setattr(limits, "RUN_EVENTS_MAX", 4)
    await book.refused("QUOTA_EXCEEDED", "run_1", write.step_completed(), write.step_created("step_more#1"))
    ended = await book.append("run_1", write.step_completed())
    assert ended.run.guard.head_seq == 5


async def test_a_run_that_is_full_can_be_cancelled_with_what_its_cleanup_writes(
    book: Book, monkeypatch: pytest.MonkeyPatch
) -> None:
    await book.start()
    monkeypatch.setattr(limits, "RUN_EVENTS_MAX", 2)
    monkeypatch.setattr(limits, "RUN_EVENTS_RESERVED", 2)
    await book.refused("QUOTA_EXCEEDED", "run_1", write.step_created())
    await book.append("run_1", write.cancel_requested())
    await book.append("run_1", write.step_created())
    refusal = await book.refused("QUOTA_EXCEEDED", "run_1", write.step_started())
    assert refusal.detail == error_pb2.LimitExceeded(limit="run_events", max=4, actual=5)
    ended = await book.append("run_1", write.run_cancelled())
    assert ended.run.guard.head_seq == 5


async def test_a_refused_call_uses_nothing_up(book: Book) -> None:
    await book.start()
    refused = [write.step_created(), write.step_completed("step_none#1")]
    await book.refused("ENTITY_NOT_FOUND", "run_1", *refused, request_id="req-1", messages=[write.message()])
    accepted = await book.append("run_1", write.step_created("step_other#1"), request_id="req-1")
    assert (accepted.events[0].seq, accepted.deduplicated) == (3, False)
    assert await book.read(lambda reader: reader.queue_names(after="", limit=9)) == []
