"""What a refused replay is told: the cause, the marker, the head, and the missed events, all of them or none."""

from __future__ import annotations

import pytest

from holdfast import wire
from holdfast.refusal import Refusal
from holdfast.v1 import error_pb2, event_pb2, store_service_pb2
from store_service import limits
from store_service.rules import cursors, delta, guard, reading
from tests.rules import book as write
from tests.rules.book import Book


def stale_of(refusal: write.Refusal) -> error_pb2.StaleSnapshot:
    assert isinstance(refusal.detail, error_pb2.StaleSnapshot)
    return refusal.detail


async def open_hook(book: Book, run_id: str = "run_1") -> int:
    """A run with an open hook; returns the snapshot of a replay that has seen all of it."""
    await book.append(run_id, write.run_created(), write.run_started(), write.hook_created(token=run_id))
    return await book.head_at(run_id)


async def test_a_fact_in_the_millisecond_of_the_snapshot_is_still_seen(book: Book) -> None:
    snapshot = await open_hook(book)
    book.now_ms = snapshot
    await book.append("run_1", write.hook_received())
    refusal = await book.refused("STALE_SNAPSHOT", "run_1", write.run_completed(), state_updated_at=snapshot)
    stale = stale_of(refusal)
    assert stale.cause == error_pb2.STALE_CAUSE_OUT_OF_BAND_EVENT
    assert (stale.state_updated_at, stale.HasField("state_seq")) == (snapshot, False)
    assert (stale.out_of_band_at, stale.required_seq) == (snapshot + 1, 4)


async def test_missed_events_extend_the_log_of_the_caller(book: Book) -> None:
    snapshot = await open_hook(book)
    await book.append("run_1", write.hook_received(payload='{"ok": true}'))
    await book.append("run_1", write.attributes_set(a="b"))
    refusal = await book.refused("STALE_SNAPSHOT", "run_1", write.run_completed(), state_updated_at=snapshot)
    missed = stale_of(refusal).missed
    assert [event.seq for event in missed.events] == [4, 5]
    assert missed.events[0].hook_received.payload.text == '{"ok": true}'
    assert (missed.head_seq, missed.state_updated_at) == (5, await book.head_at("run_1"))
    assert (missed.truncated, missed.next_cursor) == (False, cursors.run_cursor("run_1", 5))
    accepted = await book.append("run_1", write.run_completed(), state_updated_at=missed.state_updated_at)
    assert accepted.events[0].seq == 6


async def test_missed_events_come_all_or_none(book: Book) -> None:
    snapshot = await open_hook(book)
    await book.append("run_1", write.hook_received(payload="1"))
    await book.append("run_1", write.hook_received(payload=f'"{"x" * 4000}"'))
    refusal = await book.refused("STALE_SNAPSHOT", "run_1", write.run_completed(), state_updated_at=snapshot)
    missed = stale_of(refusal).missed
    assert missed.truncated and not missed.events
    assert missed.next_cursor == cursors.run_cursor("run_1", 3)
    assert (missed.head_seq, missed.state_updated_at) == (5, await book.head_at("run_1"))


async def test_of_two_snapshots_the_older_position_counts(book: Book) -> None:
    snapshot = await open_hook(book)
    await book.append("run_1", write.hook_received())
    refusal = await book.refused(
        "STALE_SNAPSHOT", "run_1", write.run_completed(), state_updated_at=snapshot, state_seq=2
    )
    assert [event.seq for event in stale_of(refusal).missed.events] == [3, 4]


async def test_two_replays_with_one_snapshot_and_no_fact_between_do_not_both_write(book: Book) -> None:
    await open_hook(book)
    await book.append("run_1", write.step_created(), state_seq=3)
    refusal = await book.refused("STALE_SNAPSHOT", "run_1", write.step_created("step_b#1"), state_seq=3)
    stale = stale_of(refusal)
    assert (stale.cause, stale.required_seq) == (error_pb2.STALE_CAUSE_CONCURRENT_REPLAY, 4)
    assert stale.state_seq == 3


async def test_of_two_causes_the_fact_is_told(book: Book) -> None:
    await open_hook(book)
    await book.append("run_1", write.hook_received())
    await book.append("run_1", write.step_created(), state_seq=4)
    refusal = await book.refused("STALE_SNAPSHOT", "run_1", write.step_created("step_b#1"), state_seq=3)
    stale = stale_of(refusal)
    assert (stale.cause, stale.required_seq) == (error_pb2.STALE_CAUSE_OUT_OF_BAND_EVENT, 5)


@pytest.mark.parametrize("extra", [{"state_updated_at": 2**50}, {"state_seq": 4}])
async def test_a_snapshot_of_another_log_is_told_to_load_again_from_the_beginning(
    book: Book, extra: dict[str, int]
) -> None:
    await open_hook(book)
    stale = stale_of(await book.refused("SNAPSHOT_AHEAD", "run_1", write.run_completed(), **extra))
    assert stale.cause == error_pb2.STALE_CAUSE_UNKNOWN_POSITION
    assert stale.missed.truncated and not stale.missed.events
    assert (stale.missed.next_cursor, stale.missed.head_seq) == (cursors.run_cursor("run_1", 0), 3)


async def test_a_new_run_has_no_log_that_a_snapshot_could_be_of(book: Book) -> None:
    await book.refused("SNAPSHOT_AHEAD", "run_1", write.run_created(), state_seq=1)
    created = await book.append("run_1", write.run_created(), state_seq=0, state_updated_at=0)
    assert created.interleaved is not None and not created.interleaved.events


async def test_facts_without_a_snapshot_are_never_refused_as_stale(book: Book) -> None:
    await open_hook(book)
    await book.append("run_1", write.hook_received())
    done = await book.append("run_1", write.hook_received())
    assert done.events[0].seq == 5


async def test_the_guard_covers_a_batch_as_a_whole(book: Book) -> None:
    snapshot = await open_hook(book)
    await book.append("run_1", write.step_created(), write.step_started())
    await book.append("run_1", write.hook_received())
    await book.refused("STALE_SNAPSHOT", "run_1", write.step_completed(), state_updated_at=snapshot)


async def test_the_marker_before_the_batch_is_what_counts(book: Book) -> None:
    snapshot = await open_hook(book)
    done = await book.append(
        "run_1", write.wait_created(), write.wait_completed(), write.run_completed(), state_updated_at=snapshot
    )
    assert done.run.guard.out_of_band_seq == 5


async def test_the_marker_survives_everything_that_is_not_the_run_row(book: Book) -> None:
    """A marker derived from events would be gone with them; it lives in the run row."""
    snapshot = await open_hook(book)
    await book.append("run_1", write.hook_received())
    row = await book.read(lambda reader: reader.run("run_1"))
    assert row is not None and (row.out_of_band_seq, row.out_of_band_at) == (4, snapshot + 1)


@pytest.mark.parametrize("run_id", ["r", "run_" + "ü/" * 126, "run_" + "x" * 252], ids=len)
@pytest.mark.parametrize("size", range(0, 3200, 150))
async def test_the_whole_status_stays_small_enough_for_a_trailer(book: Book, run_id: str, size: int) -> None:
    snapshot = await open_hook(book, run_id)
    await book.append(run_id, write.hook_received(payload=f'"{"x" * size}"'))
    refusal = await book.refused(
        "STALE_SNAPSHOT", run_id, write.run_completed(), state_updated_at=snapshot, state_seq=3
    )
    status = wire.to_status(refusal)
    sent = error_pb2.StaleSnapshot()
    assert any(detail.Unpack(sent) for detail in status.details)
    assert status.ByteSize() < limits.STATUS_BYTES_MAX
    assert sent.missed == stale_of(refusal).missed, "nothing had to be cut to make it fit"
    assert sent.missed.truncated == (not sent.missed.events)


async def test_a_few_ordinary_events_fit(book: Book) -> None:
    snapshot = await open_hook(book)
    for number in range(8):
        await book.append("run_1", write.hook_received(payload=str(number)))
    refusal = await book.refused("STALE_SNAPSHOT", "run_1", write.run_completed(), state_updated_at=snapshot)
    events = stale_of(refusal).missed.events
    assert [event.type for event in events] == [event_pb2.EVENT_TYPE_HOOK_RECEIVED] * 8


def test_an_empty_log_is_at_its_beginning_in_every_respect() -> None:
    assert guard.Position() == guard.Position(0, 0, 0, 0, 0)


async def test_who_holds_another_log_is_sent_to_the_beginning_of_this_one(book: Book) -> None:
    await book.start()
    refusal = await book.refused("SNAPSHOT_AHEAD", "run_1", write.step_created(), state_seq=9)
    cursor = refusal.detail.missed.next_cursor  # type: ignore[union-attr]
    page = await book.read(
        lambda reader: reading.list_events(reader, store_service_pb2.ListEventsRequest(run_id="run_1", cursor=cursor))
    )
    assert [event.seq for event in page.events] == [1, 2]


async def test_a_log_that_ends_early_is_told_with_the_event_that_is_missing(book: Book) -> None:
    await book.start()
    rows = await book.read(lambda reader: reader.events("run_1", limit=10))
    with pytest.raises(Refusal) as caught:
        delta.require_dense("run_1", 0, rows[:1], 2)
    assert (caught.value.reason, caught.value.metadata["seq"]) == ("CORRUPT_LOG", "2")


async def test_a_delta_of_too_many_events_to_fit_is_told_without_reading_them(book: Book) -> None:
    await book.start()
    left_out = await book.read(lambda reader: delta.between(reader, "run_1", 0, delta.Head(2, 9), 79))
    assert (left_out.truncated, left_out.head_seq, left_out.state_updated_at, len(left_out.events)) == (True, 2, 9, 0)
