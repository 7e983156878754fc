"""The liveness audit knows why each open run stands still, and sees the one that nothing will ever move."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from holdfast.v1 import queue_service_pb2
from runtime_service.names import BLOCKED_PREFIX, RUN_QUEUE
from runtime_service.tasks.messages import TaskAddress, task_message
from store_service.engines import open_engine
from store_service.engines.contract import MessageQuery, Transaction
from store_service.rules import leases, queue
from store_service.rules.leases import GiveBack
from tests.checkers.liveness import Standing, standing, stuck_runs
from tests.rules.book import NOW, Book, hook_created, run_completed, run_created, step_created, wait_created


@pytest.fixture
async def book(tmp_path: Path) -> AsyncIterator[Book]:
    engine = await open_engine(f"sqlite:///{tmp_path / 'liveness.db'}")
    book = Book(engine)
    await book.start(wake_queue=RUN_QUEUE)
    yield book
    await engine.close()


def take(tx: Transaction) -> queue_service_pb2.LeasedMessage:
    (message,) = tx.messages(MessageQuery(queue=RUN_QUEUE, limit=1, group="run_1"))
    leased = queue.claim_one(tx, message.message_id, 10_000, NOW)
    assert leased is not None
    return leased


RELEASE = queue_service_pb2.NACK_ACTION_RELEASE


async def told(book: Book) -> Standing | None:
    def look(reader: Transaction) -> Standing | None:
        row = reader.run("run_1")
        assert row is not None
        return standing(reader, row, NOW)

    return await book.read(look)  # type: ignore[arg-type]


async def let_go(book: Book) -> None:
    """Take the wake message and acknowledge it: nobody holds the run, nothing is queued."""
    leased = await book.write(take)
    await book.write(lambda tx: leases.acknowledge(tx, leased.receipt, NOW))


async def give_back(book: Book, delay_ms: int, reason: str) -> None:
    leased = await book.write(take)
    await book.write(lambda tx: leases.nack_many(tx, [leased.receipt], GiveBack(RELEASE, delay_ms, reason), NOW))


async def test_a_waiting_wake_message_is_queued_and_a_taken_one_is_leased(book: Book) -> None:
    assert await told(book) is Standing.QUEUED
    await book.write(take)
    assert await told(book) is Standing.LEASED


async def test_a_wake_message_for_later_is_a_timer(book: Book) -> None:
    await give_back(book, 60_000, "")
    assert await told(book) is Standing.TIMER


async def test_a_run_set_aside_with_a_reason_is_blocked(book: Book) -> None:
    await give_back(book, 60_000, f"{BLOCKED_PREFIX}the code has changed")
    assert await told(book) is Standing.BLOCKED


async def test_a_run_that_was_let_go_waits_for_its_hook(book: Book) -> None:
    await book.append("run_1", hook_created())
    await let_go(book)
    assert await told(book) is Standing.HOOK


async def test_a_run_that_was_let_go_waits_for_a_task_that_is_out(book: Book) -> None:
    placed = await book.append("run_1", step_created(queue="payments"))
    address = TaskAddress.of("run_1", "orders.fulfil", placed.events[0])
    await book.write(lambda tx: queue.enqueue(tx, task_message(address), NOW))
    await let_go(book)
    assert await told(book) is Standing.TASK


async def test_a_run_that_was_let_go_waits_for_a_child_that_lives(book: Book) -> None:
    await book.append("run_1", step_created(step_name="holdfast.await_run"))
    await book.append("run_2", run_created(parent_run_id="run_1"))
    await let_go(book)
    assert await told(book) is Standing.CHILD


async def test_a_run_that_nothing_will_move_is_stuck(book: Book) -> None:
    """An open step or wait moves nothing by itself: without a message nobody looks at it."""
    await book.append("run_1", step_created(), wait_created())
    await let_go(book)
    assert await told(book) is None
    (finding,) = await book.read(lambda reader: list(stuck_runs(reader, NOW)))
    assert "run_1" in finding
    await book.append("run_1", run_completed())
    assert await book.read(lambda reader: list(stuck_runs(reader, NOW))) == []
