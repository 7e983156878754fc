"""Reads of a log: dense prefixes, cursors that go on where they stopped, snapshots of the position that was reached."""

from __future__ import annotations

from typing import Any

import pytest

from holdfast.refusal import Refusal
from holdfast.v1 import entity_pb2, event_pb2, payload_pb2, store_service_pb2
from store_service import limits
from store_service.rules import cursors, reading
from store_service.rules.tail import Place, RunTail, StoreTail
from tests.rules import book as write
from tests.rules.book import Book
from tests.support.engines import execute

DESCENDING = entity_pb2.SORT_ORDER_DESCENDING


async def listed(book: Book, run_id: str = "run_1", **fields: Any) -> store_service_pb2.ListEventsResponse:
    request = store_service_pb2.ListEventsRequest(run_id=run_id, **fields)
    return await book.read(lambda reader: reading.list_events(reader, request))


async def refused(book: Book, **fields: Any) -> Refusal:
    with pytest.raises(Refusal) as caught:
        await listed(book, **fields)
    return caught.value


async def five_events(book: Book) -> None:
    await book.start()
    await book.append("run_1", write.step_created(), write.hook_created(), write.hook_received())


def seqs(page: store_service_pb2.ListEventsResponse) -> list[int]:
    return [event.seq for event in page.events]


async def test_pages_make_up_the_log_without_holes(book: Book) -> None:
    await five_events(book)
    found, token = [], ""
    while True:
        page = await listed(book, page_size=2, cursor=token)
        found += seqs(page)
        assert page.state_updated_at == await at(book, found[-1])
        assert page.next_cursor == cursors.run_cursor("run_1", found[-1])
        token = page.next_page_token
        if not token:
            break
    assert found == [1, 2, 3, 4, 5]
    assert page.head_seq == 5


async def at(book: Book, seq: int) -> int:
    row = await book.read(lambda reader: reader.event("run_1", seq))
    assert row is not None
    return row.at


async def test_an_empty_page_tells_the_snapshot_of_its_position(book: Book) -> None:
    await five_events(book)
    page = await listed(book, after_seq=5)
    assert (seqs(page), page.next_page_token) == ([], "")
    assert page.state_updated_at == await book.head_at("run_1")
    assert page.next_cursor == cursors.run_cursor("run_1", 5)


async def test_a_cursor_gets_what_came_since(book: Book) -> None:
    await five_events(book)
    cursor = (await listed(book)).next_cursor
    appended = await book.append("run_1", write.attributes_set(a="b"))
    page = await listed(book, cursor=cursor)
    assert list(page.events) == appended.events
    assert (await listed(book, after_seq=5)).events == page.events
    assert page.next_cursor == appended.next_cursor


async def test_the_log_reads_backwards(book: Book) -> None:
    await five_events(book)
    first = await listed(book, order=DESCENDING, page_size=3)
    rest = await listed(book, order=DESCENDING, page_size=3, cursor=first.next_page_token)
    assert (seqs(first), seqs(rest), rest.next_page_token) == ([5, 4, 3], [2, 1], "")
    assert not first.HasField("state_updated_at")


async def test_filters_hand_out_no_snapshot(book: Book) -> None:
    await five_events(book)
    by_type = await listed(book, types=[event_pb2.EVENT_TYPE_HOOK_CREATED, event_pb2.EVENT_TYPE_RUN_STARTED])
    by_entity = await listed(book, correlation_id="hook_#1")
    assert (seqs(by_type), seqs(by_entity)) == ([2, 4], [4, 5])
    assert not by_type.HasField("state_updated_at") and not by_entity.HasField("state_updated_at")
    assert by_type.next_cursor == cursors.run_cursor("run_1", 5), "skipped events are behind the cursor"


async def test_a_filtered_page_that_is_full_goes_on_after_its_last_event(book: Book) -> None:
    await five_events(book)
    page = await listed(book, correlation_id="hook_#1", page_size=1)
    assert seqs(page) == [4]
    rest = await listed(book, correlation_id="hook_#1", page_size=1, cursor=page.next_page_token)
    assert (seqs(rest), rest.next_page_token) == ([5], "")


async def test_a_page_ends_early_when_it_is_large_enough(book: Book, monkeypatch: pytest.MonkeyPatch) -> None:
    await book.start()
    for number in range(40):
        await book.append("run_1", write.attributes_set(a="x" * 300, b=str(number)))
    monkeypatch.setattr(limits, "PAGE_BYTES_MAX", 4000)
    found, token, pages = [], "", 0
    while pages == 0 or token:
        page = await listed(book, cursor=token)
        assert page.ByteSize() < 5000
        found, token, pages = found + seqs(page), page.next_page_token, pages + 1
    assert found == list(range(1, 43))
    assert pages > 3


async def test_positions_beyond_the_end_are_not_of_this_log(book: Book) -> None:
    await five_events(book)
    assert (await refused(book, after_seq=6)).reason == "INVALID_CURSOR"
    assert (await refused(book, cursor=cursors.run_cursor("run_1", 6))).reason == "INVALID_CURSOR"
    assert (await refused(book, cursor=cursors.run_cursor("run_2", 1))).reason == "INVALID_CURSOR"
    assert (await refused(book, run_id="run_none")).reason == "RUN_NOT_FOUND"


@pytest.mark.parametrize("order", [entity_pb2.SORT_ORDER_ASCENDING, DESCENDING])
@pytest.mark.parametrize("seq", range(1, 6))
async def test_a_reader_never_gets_a_log_with_a_hole(book: Book, seq: int, order: Any) -> None:
    await five_events(book)
    await book.write(lambda tx: execute(tx, "DELETE FROM events WHERE seq = ?", seq))
    refusal = await refused(book, order=order)
    assert refusal.reason == "CORRUPT_LOG"
    assert f"event {seq} is missing" in refusal.message


async def test_an_event_that_cannot_be_read_is_told(book: Book) -> None:
    await five_events(book)
    await book.write(lambda tx: execute(tx, "UPDATE events SET body = ? WHERE seq = 3", b"\xff"))
    assert (await refused(book)).reason == "CORRUPT_LOG"


async def test_one_event_is_found_by_seq_and_by_id(book: Book) -> None:
    await five_events(book)
    log = (await listed(book)).events

    async def got(**fields: Any) -> event_pb2.Event:
        request = store_service_pb2.GetEventRequest(run_id="run_1", **fields)
        return (await book.read(lambda reader: reading.get_event(reader, request))).event

    for event in log:
        assert await got(seq=event.seq) == await got(event_id=event.event_id) == event
    for missing in ({"seq": 6}, {"seq": 0}, {"event_id": "evt_" + "0" * 26}, {"event_id": "nonsense"}, {}):
        with pytest.raises(Refusal) as caught:
            await got(**missing)
        assert caught.value.reason == "ENTITY_NOT_FOUND"


async def test_what_a_request_wrote_is_found_by_its_id(book: Book) -> None:
    written = await book.append("run_1", write.run_created(), write.run_started(), request_id="req-1")

    async def got(**fields: Any) -> event_pb2.Event:
        request = store_service_pb2.GetEventRequest(**fields)
        return (await book.read(lambda reader: reading.get_event(reader, request))).event

    assert await got(request_id="req-1") == await got(request_id="req-1", run_id="run_1") == written.events[0]
    for missing in ({"request_id": "req-2"}, {"request_id": "req-1", "run_id": "run_2"}):
        with pytest.raises(Refusal) as caught:
            await got(**missing)
        assert caught.value.reason == "ENTITY_NOT_FOUND"


async def test_payloads_come_in_the_view_asked_for(book: Book) -> None:
    await book.start(input=write.text('{"a":[1,2.5]}'))

    async def shown(view: payload_pb2.PayloadView.ValueType) -> payload_pb2.Payload:
        return (await listed(book, view=view)).events[0].run_created.input

    assert (await shown(payload_pb2.PAYLOAD_VIEW_UNSPECIFIED)).text == '{"a":[1,2.5]}'
    omitted = await shown(payload_pb2.PAYLOAD_VIEW_OMITTED)
    assert (omitted.WhichOneof("body"), omitted.size_bytes) == (None, 13)
    opened = await shown(payload_pb2.PAYLOAD_VIEW_VALUE)
    assert opened.value.struct_value.fields["a"].list_value.values[1].number_value == 2.5
    assert opened.size_bytes == 13


@pytest.mark.parametrize(("spare_bytes", "count"), [(-1, 2), (0, 2), (1, 3)])
async def test_a_page_ends_with_the_event_that_fills_it(
    book: Book, monkeypatch: pytest.MonkeyPatch, spare_bytes: int, count: int
) -> None:
    await five_events(book)
    whole = await listed(book)
    two = sum(event.ByteSize() for event in whole.events[:2])
    monkeypatch.setattr(limits, "PAGE_BYTES_MAX", two + spare_bytes)
    assert seqs(await listed(book)) == list(range(1, count + 1))


async def test_a_cursor_beyond_the_end_of_the_store_is_none_of_its_own(book: Book) -> None:
    await five_events(book)
    await book.read(lambda reader: StoreTail().begin(reader, cursors.store_cursor(5), 0))
    with pytest.raises(Refusal) as caught:
        await book.read(lambda reader: StoreTail().begin(reader, cursors.store_cursor(6), 0))
    assert caught.value.reason == "INVALID_CURSOR"


async def test_a_watch_of_a_log_that_lost_its_end_is_told_which_event_is_missing(book: Book) -> None:
    await five_events(book)
    await book.write(lambda tx: execute(tx, "DELETE FROM events WHERE seq = 5"))
    with pytest.raises(Refusal) as caught:
        await book.read(lambda reader: RunTail("run_1").read(reader, Place(4), 1000))
    assert (caught.value.reason, caught.value.metadata["seq"]) == ("CORRUPT_LOG", "5")
