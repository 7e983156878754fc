"""What an accepted append gives: places, times, rows, messages, wake-ups and notes, all in one commit."""

from __future__ import annotations

import asyncio

import pytest
from ulid import ULID

from holdfast.refusal import Refusal
from holdfast.v1 import entity_pb2, event_pb2
from store_service import limits
from store_service.engines.contract import EventNote, ExpiryNote, MessageQuery, Note, QueueNote
from store_service.rules import clock, cursors, leases, queue
from tests.rules import book as write
from tests.rules.book import NOW, Book
from tests.support.engines import execute


def wakes(reader: write.Reader) -> list[tuple[int, str, int]]:
    rows = reader.messages(MessageQuery(queue="runs", limit=10))
    return [(row.deliver_ms, row.group, row.max_deliveries) for row in rows]


async def test_the_store_picks_a_run_id_and_dense_places(book: Book) -> None:
    done = await book.append("", write.run_created(), write.run_started())
    assert done.run.run_id.startswith("run_") and ULID.from_str(done.run.run_id[4:]).milliseconds == NOW
    assert [event.seq for event in done.events] == [1, 2]
    assert {event.run_id for event in done.events} == {done.run.run_id}
    assert done.next_cursor == cursors.run_cursor(done.run.run_id, 2)


async def test_what_only_the_store_may_say_is_taken_from_nobody(book: Book) -> None:
    await book.start()
    claimed = write.step_created()
    claimed.event_id, claimed.seq, claimed.run_id = "evt_mine", 99, "run_other"
    claimed.origin, claimed.type = event_pb2.EVENT_ORIGIN_STORE, event_pb2.EVENT_TYPE_RUN_FAILED
    claimed.writer, claimed.ignorable = "me", True
    claimed.occur_time.FromMilliseconds(5)
    claimed.trace_context["traceparent"] = "00-1"
    event = (await book.append("run_1", claimed)).events[0]
    assert (event.seq, event.run_id, event.type) == (3, "run_1", event_pb2.EVENT_TYPE_STEP_CREATED)
    assert event.origin == event_pb2.EVENT_ORIGIN_EXTERNAL and event.event_id.startswith("evt_0")
    assert (event.writer, event.ignorable, event.trace_context["traceparent"]) == ("me", True, "00-1")
    assert event.occur_time.ToMilliseconds() == 5
    assert claimed.event_id == "evt_mine", "the caller's message is left alone"


async def test_event_times_rise_strictly_and_wall_times_never_go_back(book: Book) -> None:
    await book.start()
    times = [await book.head_at("run_1")]
    walls = [NOW]
    for now_ms in (NOW, NOW - 5000, NOW + 365 * 86_400_000, NOW, NOW + 1):
        book.now_ms = now_ms
        done = await book.append("run_1", write.attributes_set(at=str(now_ms)))
        times.append(done.run.guard.head_at)
        walls.append(done.events[0].create_time.ToMilliseconds())
    assert times == sorted(set(times))
    assert walls == sorted(walls)


async def test_the_writer_is_told_apart_by_its_snapshot(book: Book) -> None:
    await book.start()
    by_time = await book.append("run_1", write.attributes_set(a="1"), state_updated_at=await book.head_at("run_1"))
    by_seq = await book.append("run_1", write.attributes_set(a="2"), state_seq=3)
    neither = await book.append("run_1", write.attributes_set(a="3"))
    assert [done.events[0].origin for done in (by_time, by_seq, neither)] == [
        event_pb2.EVENT_ORIGIN_REPLAY,
        event_pb2.EVENT_ORIGIN_REPLAY,
        event_pb2.EVENT_ORIGIN_EXTERNAL,
    ]
    assert neither.run.guard.replay_seq == 4


async def test_replay_seq_is_that_of_the_last_decision_of_the_batch(book: Book) -> None:
    await book.start()
    done = await book.append("run_1", write.step_created(), write.step_started(), state_seq=2)
    assert (done.run.guard.replay_seq, done.run.guard.head_seq) == (3, 4)


async def test_the_marker_moves_by_kind_and_for_some_kinds_by_writer(book: Book) -> None:
    await book.start()
    moved = {}

    async def seen(name: str, event: event_pb2.Event, **fields: int) -> None:
        moved[name] = (await book.append("run_1", event, **fields)).run.guard.out_of_band_seq

    await seen("step_created", write.step_created())
    await seen("step_started", write.step_started())
    await seen("step_completed", write.step_completed())
    await seen("hook_created", write.hook_created())
    await seen("hook_received", write.hook_received())
    await seen("hook_disposed by a replay", write.hook_disposed(), state_seq=7)
    await seen("wait_created", write.wait_created())
    await seen("wait_completed by a replay", write.wait_completed(), state_seq=9)
    await seen("run_cancel_requested", write.cancel_requested())
    await seen("hook again", write.hook_created("hook_#2", "tok2"))
    await seen("hook_disposed from outside", write.hook_disposed("hook_#2"))
    assert moved == {
        "step_created": 0,
        "step_started": 0,
        "step_completed": 5,
        "hook_created": 5,
        "hook_received": 7,
        "hook_disposed by a replay": 7,
        "wait_created": 7,
        "wait_completed by a replay": 10,
        "run_cancel_requested": 11,
        "hook again": 11,
        "hook_disposed from outside": 13,
    }


async def test_the_end_of_a_run_closes_what_it_has_open(book: Book) -> None:
    await book.start()
    await book.append("run_1", write.step_created(), write.hook_created(), write.wait_created())
    done = await book.append("run_1", write.run_failed())
    rows = {row.entity_id: row for row in (await book.read(write.everything))[1] for row in row}  # type: ignore[attr-defined]
    assert {name: (row.status, row.terminal_seq) for name, row in rows.items()} == {
        "step_a#1": (entity_pb2.STEP_STATUS_CANCELLED, 6),
        "hook_#1": (entity_pb2.HOOK_STATUS_DISPOSED, 6),
        "wait_#1": (entity_pb2.WAIT_STATUS_CANCELLED, 6),
    }
    assert not entity_pb2.Wait.FromString(rows["wait_#1"].body).HasField("complete_time")
    assert await book.read(lambda reader: reader.token("tok")) is None
    assert done.run.complete_time == done.run.update_time


async def test_a_forced_cancel_needs_no_started_run_and_a_replayed_one_does(book: Book) -> None:
    await book.append("run_1", write.run_created())
    await book.refused("ILLEGAL_TRANSITION", "run_1", write.run_cancelled(), state_seq=1)
    done = await book.append("run_1", write.run_cancelled())
    assert done.run.status == entity_pb2.RUN_STATUS_CANCELLED
    assert done.run.guard.out_of_band_seq == 2


async def test_decisions_need_a_started_run_which_may_lead_the_batch(book: Book) -> None:
    await book.append("run_1", write.run_created())
    refusal = await book.refused("ILLEGAL_TRANSITION", "run_1", write.step_created(), write.run_started())
    assert refusal.detail is not None
    assert refusal.detail.current_status == "RUN_STATUS_PENDING"  # type: ignore[attr-defined]
    for end in (write.run_failed(), write.run_completed()):
        await book.refused("ILLEGAL_TRANSITION", "run_1", end)
    done = await book.append("run_1", write.run_started(), write.step_created())
    assert done.run.status == entity_pb2.RUN_STATUS_RUNNING


async def test_own_event_never_hides_what_lay_before_it(book: Book) -> None:
    await book.start()
    await book.append("run_1", write.step_created(), write.step_started())
    await book.append("run_1", write.cancel_requested())
    done = await book.append("run_1", write.step_completed(), delta_after_seq=2)
    delta = done.interleaved
    assert delta is not None and not delta.truncated
    assert [event.seq for event in delta.events] == [3, 4, 5]
    assert (delta.head_seq, done.events[0].seq) == (5, 6)
    assert delta.state_updated_at == done.run.guard.head_at - 1
    assert delta.next_cursor == cursors.run_cursor("run_1", 5)


async def test_interleaved_comes_with_every_snapshot_and_with_nothing_else(book: Book) -> None:
    await book.start()
    without = await book.append("run_1", write.step_created())
    fresh = await book.append("run_1", write.step_created("step_b#1"), state_seq=3)
    smaller = await book.append(
        "run_1", write.step_created("step_c#1"), state_updated_at=fresh.run.guard.head_at, delta_after_seq=1
    )
    assert without.interleaved is None
    assert fresh.interleaved is not None and not fresh.interleaved.events
    assert smaller.interleaved is not None
    assert [event.seq for event in smaller.interleaved.events] == [2, 3, 4]


async def test_interleaved_comes_all_or_none(book: Book, monkeypatch: pytest.MonkeyPatch) -> None:
    await book.start()
    monkeypatch.setattr(limits, "INTERLEAVED_BYTES_MAX", 200)
    short = await book.append("run_1", write.step_created(), delta_after_seq=1)
    long = await book.append("run_1", write.step_created("step_b#1"), delta_after_seq=0)
    assert short.interleaved is not None and len(short.interleaved.events) == 1
    assert long.interleaved is not None
    assert long.interleaved.truncated and not long.interleaved.events
    assert long.interleaved.next_cursor == cursors.run_cursor("run_1", 0)


async def test_a_run_that_named_a_queue_is_woken_by_every_fact_from_outside(book: Book) -> None:
    start = clock.to_timestamp(NOW + 500)
    await book.append("run_1", write.run_created(wake_queue="runs", start_time=start))
    assert await book.read(wakes) == [(NOW + 500, "run_1", 100_000)]
    await book.append("run_1", write.cancel_requested())
    assert await book.read(wakes) == [(NOW, "run_1", 100_000)], "one message waits, and the earlier time counts"


async def test_no_wake_up_by_who_holds_the_run_by_a_replay_or_by_the_end(book: Book) -> None:
    await book.start(wake_queue="runs")
    [leased] = await book.write(lambda tx: queue.claim(tx, ["runs"], 1, 1000, NOW))
    held = [leased.receipt]
    await book.append("run_1", write.step_created(), write.step_started(), write.hook_created(), held_receipts=held)
    await book.append("run_1", write.step_completed(), held_receipts=held)
    await book.append("run_1", write.hook_disposed(), write.wait_created(), write.wait_completed(), state_seq=6)
    assert len(await book.read(wakes)) == 1
    await book.append("run_1", write.run_failed())
    assert len(await book.read(wakes)) == 1


async def test_a_fact_during_a_delivery_queues_the_run_again(book: Book) -> None:
    await book.start(wake_queue="runs")
    await book.write(lambda tx: queue.claim(tx, ["runs"], 1, 1000, NOW))
    await book.append("run_1", write.cancel_requested())
    assert len(await book.read(wakes)) == 2


async def test_events_messages_and_receipts_commit_together(book: Book) -> None:
    await book.start()
    await book.write(lambda tx: queue.enqueue(tx, write.message(), NOW))
    [leased] = await book.write(lambda tx: queue.claim(tx, ["mail"], 1, 1000, NOW))
    messages = [write.message("k", "other"), write.message("k", "other")]
    done = await book.append("run_1", write.step_created(), messages=messages, ack_receipts=[leased.receipt])
    assert done.message_ids[0] == done.message_ids[1]
    assert await book.read(lambda reader: reader.settled_until(leased.receipt))
    assert await book.read(lambda reader: reader.message(leased.message.message_id)) is None


async def test_a_writer_whose_lease_moved_on_writes_nothing(book: Book) -> None:
    await book.start()
    await book.write(lambda tx: queue.enqueue(tx, write.message(group="run_1"), NOW))
    [paused] = await book.write(lambda tx: queue.claim(tx, ["mail"], 1, 1000, NOW))
    await book.append("run_1", write.attributes_set(a="1"), held_receipts=[paused.receipt])
    book.now_ms = NOW + 2000
    await book.write(lambda tx: queue.claim(tx, ["mail"], 1, 1000, NOW + 2000))
    await book.refused("LEASE_LOST", "run_1", write.attributes_set(a="2"), held_receipts=[paused.receipt])


async def test_listeners_are_told_what_a_commit_means_for_them(book: Book) -> None:
    notes: list[Note] = []
    told = asyncio.Event()

    def listen(batch: object) -> None:
        notes.extend(batch)  # type: ignore[arg-type]
        told.set()

    book.engine.listen(listen)
    expire = clock.to_timestamp(NOW + 70)
    created = write.run_created(wake_queue="runs", timeout={"seconds": 9})
    await book.append("run_1", created, write.run_started(), write.hook_created(expire_time=expire))
    await asyncio.wait_for(told.wait(), 5)
    assert set(notes) == {
        EventNote("run_1", 3, False, frozenset((1, 2, 20))),
        ExpiryNote(NOW + 9000),
        ExpiryNote(NOW + 70),
        QueueNote("runs", NOW),
    }


async def test_what_never_expires_is_told_to_nobody_as_an_expiry(book: Book) -> None:
    notes: list[Note] = []
    told = asyncio.Event()

    def listen(batch: object) -> None:
        notes.extend(batch)  # type: ignore[arg-type]
        told.set()

    book.engine.listen(listen)
    await book.append("run_1", write.run_created(), write.run_started(), write.step_created(), write.hook_created())
    await asyncio.wait_for(told.wait(), 5)
    assert notes == [EventNote("run_1", 4, False, frozenset((1, 2, 10, 20)))]


async def test_labels_of_a_run_have_a_limit(book: Book) -> None:
    await book.start(attributes={f"k{number}": "v" for number in range(limits.ATTRIBUTES_MAX)})
    await book.append("run_1", write.attributes_set(k0="w"))
    refusal = await book.refused("QUOTA_EXCEEDED", "run_1", write.attributes_set(new="v"))
    assert refusal.metadata["limit"] == "run_attributes"


async def test_a_log_with_a_gap_is_an_error_and_never_a_guess(book: Book) -> None:
    await book.start()
    await book.append("run_1", write.attributes_set(a="1"))

    await book.write(lambda tx: execute(tx, "DELETE FROM events WHERE seq = 2"))
    with pytest.raises(Refusal) as caught:
        await book.append("run_1", write.attributes_set(a="2"), delta_after_seq=1)
    assert caught.value.reason == "CORRUPT_LOG"


async def test_one_event_that_moves_the_marker_wakes_the_run_whatever_stands_beside_it(book: Book) -> None:
    await book.start(wake_queue="runs")
    (leased,) = await book.write(lambda tx: queue.claim(tx, ["runs"], 1, 1000, NOW))
    await book.write(lambda tx: leases.ack_many(tx, [leased.receipt], NOW))
    await book.append("run_1", write.step_created(), write.step_started())
    assert await book.read(wakes) == []
    await book.append("run_1", write.step_completed(), write.step_created("step_b#1"))
    assert len(await book.read(wakes)) == 1
