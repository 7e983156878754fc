"""A request id makes a retry safe: one effect, the first answer, for a day."""

from __future__ import annotations

from holdfast.v1 import event_pb2
from store_service import limits
from store_service.rules import requests
from store_service.rules.contents import content
from tests.rules import book as write
from tests.rules.book import NOW, Book
from tests.support import engines


async def test_a_resume_retried_after_a_lost_reply_is_one_value(book: Book) -> None:
    await book.start()
    await book.append("run_1", write.hook_created())
    first = await book.append("run_1", write.hook_received(), request_id="req-1", messages=[write.message()])
    retry = write.hook_received()
    retry.occur_time.FromMilliseconds(NOW + 5)
    retry.trace_context["traceparent"] = "00-second-try"
    again = await book.append("run_1", retry, request_id="req-1", messages=[write.message()])
    assert again.deduplicated and not first.deduplicated
    assert (again.events, again.message_ids, again.next_cursor) == (
        first.events,
        first.message_ids,
        first.next_cursor,
    )
    assert again.run.guard.head_seq == 4
    assert again.entities == first.entities


async def test_the_same_id_with_other_content_is_refused(book: Book) -> None:
    await book.start()
    await book.append("run_1", write.hook_created())
    await book.append("run_1", write.hook_received(payload="1"), request_id="req-1")
    refusal = await book.refused("REQUEST_ID_REUSED", "run_1", write.hook_received(payload="2"), request_id="req-1")
    assert refusal.metadata == {"request_id": "req-1", "run_id": "run_1"}
    changed = {"request_id": "req-1", "messages": [write.message()]}
    await book.refused("REQUEST_ID_REUSED", "run_1", write.hook_received(payload="1"), **changed)


async def test_a_repeat_tells_what_lay_before_its_events_as_the_first_answer_did(book: Book) -> None:
    await book.start()
    first = await book.append("run_1", write.step_created(), request_id="req-1", state_seq=1)
    await book.append("run_1", write.step_started())
    again = await book.append("run_1", write.step_created(), request_id="req-1", state_seq=1)
    assert first.interleaved is not None and first.interleaved.head_seq == 2
    assert again.interleaved == first.interleaved


async def test_a_retried_creation_finds_the_run_it_made(book: Book) -> None:
    first = await book.append("", write.run_created(), request_id="req-1")
    again = await book.append("", write.run_created(), request_id="req-1")
    assert again.run.run_id == first.run.run_id


async def test_a_request_id_is_forgotten_after_its_window(book: Book) -> None:
    await book.start()
    await book.append("run_1", write.attributes_set(a="1"), request_id="req-1")
    book.now_ms = NOW + limits.REQUEST_ID_WINDOW_MS
    again = await book.append("run_1", write.attributes_set(a="2"), request_id="req-1")
    assert not again.deduplicated


async def test_old_request_ids_do_not_pile_up(book: Book) -> None:
    await book.start()
    await book.append("run_1", write.attributes_set(a="1"), request_id="req-1")
    book.now_ms = NOW + limits.REQUEST_ID_WINDOW_MS
    await book.append("run_1", write.attributes_set(a="1"), request_id="req-2")
    assert await book.read(lambda reader: reader.request("req-1")) is None


async def test_a_repeat_finds_a_log_with_a_hole_corrupt(book: Book) -> None:
    await book.start()
    events = [write.attributes_set(a="1"), write.attributes_set(a="2")]
    await book.append("run_1", *events, request_id="req-1")
    await book.write(lambda tx: engines.execute(tx, "DELETE FROM events WHERE seq = 4"))
    assert (await book.refused("CORRUPT_LOG", "run_1", *events, request_id="req-1")).metadata["seq"] == "4"


async def test_a_repeated_creation_tells_that_nothing_lay_before_it(book: Book) -> None:
    for _ in range(2):
        answer = await book.append("run_1", write.run_created(), request_id="req-1", delta_after_seq=0)
        assert answer.interleaved is not None
        assert (answer.interleaved.head_seq, answer.interleaved.state_updated_at) == (0, 0)
        assert not answer.interleaved.events


async def test_events_are_told_apart_at_their_borders(book: Book) -> None:
    """Messages in a row read like one message that holds the fields of all."""
    await book.start()
    one = write.step_created()
    halves = [event_pb2.Event(correlation_id=one.correlation_id), event_pb2.Event(step_created=one.step_created)]
    assert b"".join(content(half) for half in halves) == content(one)
    assert requests.digest("run_1", [one], []) != requests.digest("run_1", halves, [])
