"""The end of a run wakes the run that started it, in the transaction of the end."""

from __future__ import annotations

import pytest

from holdfast.v1 import queue_service_pb2
from store_service.engines.contract import MessageQuery, MessageRow
from store_service.rules import expiry
from tests.rules import book as write
from tests.rules.book import Book

READY = queue_service_pb2.QUEUE_MESSAGE_STATE_READY


async def wakes(book: Book, run_id: str) -> list[MessageRow]:
    return await book.read(lambda reader: reader.messages(MessageQuery(queue="runs", limit=10, group=run_id)))


async def family(book: Book, *, wake_queue: str = "runs") -> None:
    """A parent whose first wake was worked off, and a child of it."""
    await book.start("parent", wake_queue=wake_queue)
    for row in await wakes(book, "parent"):
        await book.write(lambda tx, row=row: tx.delete_message(row.message_id))  # type: ignore[misc]
    await book.start("child", parent_run_id="parent", root_run_id="parent")


@pytest.mark.parametrize("end", [write.run_completed, write.run_failed, write.run_cancelled])
async def test_every_end_of_a_child_wakes_its_parent_once(book: Book, end: object) -> None:
    await family(book)
    await book.start("other", parent_run_id="parent")
    assert await wakes(book, "parent") == []
    await book.append("child", end())  # type: ignore[operator]
    await book.append("other", write.run_cancelled())
    (wake,) = await wakes(book, "parent")
    assert (wake.state, wake.key) == (READY, "wake:parent")


async def test_a_parent_without_a_wake_queue_or_that_has_ended_is_left_alone(book: Book) -> None:
    await family(book, wake_queue="")
    await book.append("child", write.run_cancelled())
    assert await wakes(book, "parent") == []
    await book.start("ended", wake_queue="runs")
    await book.append("ended", write.run_cancelled())
    before = await wakes(book, "ended")
    await book.start("orphan", parent_run_id="ended")
    await book.start("stranger", parent_run_id="nobody")
    await book.append("orphan", write.run_cancelled())
    await book.append("stranger", write.run_cancelled())
    assert await wakes(book, "ended") == before


async def test_a_child_that_times_out_wakes_its_parent(book: Book) -> None:
    await book.start("parent", wake_queue="runs")
    for row in await wakes(book, "parent"):
        await book.write(lambda tx, row=row: tx.delete_message(row.message_id))  # type: ignore[misc]
    created = write.run_created(parent_run_id="parent")
    created.run_created.timeout.FromMilliseconds(1_000)
    await book.append("child", created, write.run_started())
    await book.write(lambda tx: expiry.expire_due(tx, book.now_ms + 1_000, 10))
    assert len(await wakes(book, "parent")) == 1
