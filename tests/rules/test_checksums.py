"""Whatever changes in a stored log is found: by the reader who meets it, and by the audit.

Each case is a change that the rest of the store cannot see, for the changed row is a well-formed event in its place.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from holdfast.refusal import Refusal
from holdfast.v1 import entity_pb2, event_pb2, store_service_pb2
from store_service import checksum
from store_service.rules import delta, reading, rebuild, stored
from store_service.rules.audit import audit_runs
from store_service.rules.delta import Head
from store_service.rules.tail import Place, RunTail
from tests.rules import book as write
from tests.rules.book import Book
from tests.support import engines

SEQ = 3

#: One change each, of the log of `six_events`.
CHANGES = {
    "another payload": "UPDATE events SET body = CAST(replace(body, 'hello', 'HELLO') AS BLOB) WHERE seq = 3",
    "another time": "UPDATE events SET at = at + 1 WHERE seq = 3",
    "another checksum": "UPDATE events SET checksum = zeroblob(16) WHERE seq = 3",
    "no checksum": "UPDATE events SET checksum = x'' WHERE seq = 3",
}

#: The changes are SQLite's SQL; who finds them is the rule, above every engine.
pytestmark = pytest.mark.parametrize("book", ["sqlite"], indirect=True)

READS: dict[str, Callable[[Any], Any]] = {
    "upwards": lambda reader: reading.list_events(reader, store_service_pb2.ListEventsRequest(run_id="run_1")),
    "downwards": lambda reader: reading.list_events(
        reader,
        store_service_pb2.ListEventsRequest(run_id="run_1", order=entity_pb2.SORT_ORDER_DESCENDING),
    ),
    "filtered": lambda reader: reading.list_events(
        reader,
        store_service_pb2.ListEventsRequest(run_id="run_1", types=[event_pb2.EVENT_TYPE_STEP_CREATED]),
    ),
    "one": lambda reader: reading.get_event(reader, store_service_pb2.GetEventRequest(run_id="run_1", seq=SEQ)),
    "a page that ends there": lambda reader: reading.list_events(
        reader, store_service_pb2.ListEventsRequest(run_id="run_1", after_seq=SEQ, page_size=1)
    ),
    "a delta": lambda reader: delta.between(reader, "run_1", 1, Head(6, 0), 100_000),
    "a watch": lambda reader: RunTail("run_1").read(reader, Place(0), 1_000_000),
    "a rebuild": lambda reader: rebuild.read_log(reader, "run_1", 6),
}


async def six_events(book: Book) -> None:
    await book.start()
    steps = [write.step_created(f"step_{name}#1", input=write.text('"hello"')) for name in "abcd"]
    await book.append("run_1", *steps)


async def execute(book: Book, sql: str, *parameters: object) -> None:
    await book.write(lambda tx: engines.execute(tx, sql, *parameters))


async def refusal_of(reading_it: Awaitable[Any]) -> Refusal:
    with pytest.raises(Refusal) as caught:
        await reading_it
    return caught.value


async def findings(book: Book) -> list[str]:
    return [text for audited in await book.read(lambda reader: list(audit_runs(reader))) for text in audited.findings]


@pytest.mark.parametrize("read", [name for name in READS if name != "a page that ends there"])
@pytest.mark.parametrize("change", CHANGES)
async def test_no_read_gives_an_event_that_is_not_what_was_written(book: Book, change: str, read: str) -> None:
    await six_events(book)
    await execute(book, CHANGES[change])
    refusal = await refusal_of(book.read(READS[read]))
    assert refusal.reason == "CORRUPT_LOG"
    assert refusal.metadata == {"run_id": "run_1", "seq": str(SEQ)}
    assert any(f"event {SEQ}" in text for text in await findings(book))


async def test_a_snapshot_is_never_taken_from_a_changed_time(book: Book) -> None:
    await six_events(book)
    await execute(book, "UPDATE events SET at = at + 1 WHERE seq = 4")
    assert (await refusal_of(book.read(READS["a page that ends there"]))).reason == "CORRUPT_LOG"


@pytest.mark.parametrize("read", ["upwards", "downwards", "a delta", "a watch", "a rebuild"])
async def test_an_event_of_another_log_in_its_place_is_found(book: Book, read: str) -> None:
    """It is sound by itself: only the chain tells."""
    await six_events(book)
    before = await book.read(lambda reader: reader.event("run_1", SEQ))
    other = event_pb2.Event.FromString(before.body)
    other.step_created.input.text = '"forged"'
    forged = stored.row_of(other, before.at, checksum.FIRST)
    await execute(book, "UPDATE events SET body = ?, checksum = ? WHERE seq = 3", forged.body, forged.checksum)
    refusal = await refusal_of(book.read(READS[read]))
    assert (refusal.reason, refusal.metadata["run_id"]) == ("CORRUPT_LOG", "run_1")
    assert any("the chain is broken" in text for text in await findings(book))


async def test_a_log_that_begins_in_the_middle_of_a_chain_is_found(book: Book) -> None:
    await six_events(book)
    first = await book.read(lambda reader: reader.event("run_1", 1))
    torn = checksum.chained(b"01234567", first.at, first.body)
    await execute(book, "UPDATE events SET checksum = ? WHERE seq = 1", torn)
    one = book.read(
        lambda reader: reading.list_events(reader, store_service_pb2.ListEventsRequest(run_id="run_1", page_size=1))
    )
    assert (await refusal_of(one)).metadata["seq"] == "1"


async def test_a_row_that_cannot_be_read_is_told(book: Book) -> None:
    await six_events(book)
    await execute(book, "UPDATE runs SET body = ?", b"\xff")
    refusal = await refusal_of(book.read(lambda reader: stored.body_of_run(reader.run("run_1"))))
    assert (refusal.reason, refusal.metadata["run_id"]) == ("CORRUPT_LOG", "run_1")


async def test_the_audit_looks_at_every_run_the_oldest_first(book: Book) -> None:
    for number in range(3):
        book.now_ms += 1
        await book.start(f"run_{number}")
    audited = await book.read(lambda reader: [(it.run_id, it.events) for it in audit_runs(reader)])
    assert audited == [("run_0", 2), ("run_1", 2), ("run_2", 2)]


@pytest.mark.parametrize("read", ["upwards", "downwards", "a watch"])
async def test_another_newest_event_than_the_run_knows_is_found(book: Book, read: str) -> None:
    await six_events(book)
    await execute(book, "UPDATE runs SET head_checksum = x'0102030405060708'")
    refusal = await refusal_of(book.read(READS[read]))
    assert (refusal.reason, refusal.metadata["seq"]) == ("CORRUPT_LOG", "6")
    assert any("another event than the log" in text for text in await findings(book))


async def test_an_untouched_log_is_read_and_audited_without_complaint(book: Book) -> None:
    await six_events(book)
    for read in READS.values():
        assert await book.read(read)
    assert await findings(book) == []
