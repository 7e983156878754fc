"""WatchEvents: history, then live, resumable at every message, without a gap and without holding anybody up."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import grpc.aio
import pytest

from holdfast.v1 import event_pb2, payload_pb2
from holdfast.v1 import store_service_pb2 as api
from tests.support.store import (
    DEADLINE_SECONDS,
    Store,
    StoreClient,
    add,
    create_run,
    hook_created,
    hook_received,
    refused,
    run_completed,
    running_store,
)

#: For tests that open the same file again.
ON_A_FILE = pytest.mark.parametrize("any_store", ["sqlite"], indirect=True)


@pytest.fixture
async def store(any_store: Store) -> Store:
    """On each engine."""
    return any_store


RUN = "order-1"


@asynccontextmanager
async def watching(store: Store, **fields: Any) -> AsyncIterator[Any]:
    """Open a watch of `RUN` unless ``all_runs`` is asked for."""
    if "all_runs" not in fields:
        fields.setdefault("run_id", RUN)
    call = store.client.events.WatchEvents(api.WatchEventsRequest(**fields))
    try:
        yield call
    finally:
        call.cancel()


async def heard(call: Any) -> Any:
    async with asyncio.timeout(DEADLINE_SECONDS):
        return await call.read()


async def until(call: Any, kind: str) -> tuple[list[event_pb2.Event], Any]:
    """Read up to the first message of a kind; returns the events before it, and it."""
    events: list[event_pb2.Event] = []
    while True:
        message = await heard(call)
        assert message is not grpc.aio.EOF, f"the watch ended without {kind}"
        events += message.batch.events
        if message.WhichOneof("kind") == kind:
            return events, message


async def seqs(call: Any, count: int) -> list[int]:
    found: list[int] = []
    while len(found) < count:
        found += [event.seq for event in (await heard(call)).batch.events]
    return found


async def test_history_comes_first_then_caught_up_then_what_happens(store: Store) -> None:
    await create_run(store.client, RUN)
    async with watching(store) as call:
        events, caught_up = await until(call, "caught_up")
        assert [event.seq for event in events] == [1, 2]
        assert caught_up.caught_up.head_seq == 2
        await add(store.client, RUN, hook_created())
        assert await seqs(call, 1) == [3]


async def test_a_watch_from_now_begins_with_the_first_event_after_the_call(store: Store) -> None:
    await create_run(store.client, RUN)
    async with watching(store, start=api.WATCH_START_NOW) as call:
        assert (await heard(call)).WhichOneof("kind") == "caught_up"
        await add(store.client, RUN, hook_created())
        assert await seqs(call, 1) == [3]


async def test_every_cursor_resumes_right_after_its_message(store: Store) -> None:
    await create_run(store.client, RUN)
    async with watching(store) as call:
        first = await heard(call)
    await add(store.client, RUN, hook_created())
    await add(store.client, RUN, hook_received())
    async with watching(store, cursor=first.cursor) as call:
        assert await seqs(call, 2) == [3, 4]


async def test_cursors_of_creates_lists_and_watches_are_the_same_thing(store: Store) -> None:
    created = await create_run(store.client, RUN)
    await add(store.client, RUN, hook_created())
    page = await store.client.events.ListEvents(api.ListEventsRequest(run_id=RUN, page_size=2))
    async with watching(store, cursor=created.next_cursor) as call:
        from_create = await seqs(call, 1)
    async with watching(store, cursor=page.next_cursor) as call:
        assert from_create == await seqs(call, 1) == [3]


async def test_a_filter_skips_events_but_its_cursor_moves_over_them(store: Store) -> None:
    await create_run(store.client, RUN)
    await add(store.client, RUN, hook_created())
    async with watching(store, types=[event_pb2.EVENT_TYPE_HOOK_RECEIVED]) as call:
        events, caught_up = await until(call, "caught_up")
        assert not events
        await add(store.client, RUN, hook_received())
        assert await seqs(call, 1) == [4]
    async with watching(store, cursor=caught_up.cursor) as call:
        assert await seqs(call, 1) == [4]


async def test_silence_is_filled_with_progress_that_moves_the_cursor(store: Store) -> None:
    await create_run(store.client, RUN)
    request = api.WatchEventsRequest(run_id=RUN, types=[event_pb2.EVENT_TYPE_RUN_FAILED])
    request.progress_interval.FromMilliseconds(1_000)
    call = store.client.events.WatchEvents(request)
    await until(call, "caught_up")
    await add(store.client, RUN, hook_created())
    _, progress = await until(call, "progress")
    assert progress.progress.head_seq == 3
    call.cancel()
    async with watching(store, cursor=progress.cursor, start=api.WATCH_START_NOW) as again:
        assert (await heard(again)).WhichOneof("kind") == "caught_up"


async def test_the_end_of_a_run_ends_a_watch_that_stops_there(store: Store) -> None:
    await create_run(store.client, RUN)
    async with watching(store, stop_at_terminal=True) as call:
        await until(call, "caught_up")
        await add(store.client, RUN, run_completed())
        events, closing = await until(call, "closing")
        assert [event.seq for event in events] == [3]
        assert closing.closing.reason == api.WATCH_CLOSING_REASON_TERMINAL
        assert await heard(call) is grpc.aio.EOF
        assert await call.code() is grpc.StatusCode.OK


@pytest.mark.parametrize("start", [api.WATCH_START_EARLIEST, api.WATCH_START_NOW])
async def test_a_watch_of_an_ended_run_ends_too(store: Store, start: int) -> None:
    await create_run(store.client, RUN)
    await add(store.client, RUN, run_completed())
    async with watching(store, stop_at_terminal=True, start=start) as call:
        _, closing = await until(call, "closing")
        assert closing.closing.reason == api.WATCH_CLOSING_REASON_TERMINAL


async def test_a_watch_of_a_run_that_is_deleted_is_told(store: Store) -> None:
    await create_run(store.client, RUN)
    await add(store.client, RUN, run_completed())
    async with watching(store) as call:
        await until(call, "caught_up")
        await store.client.events.DeleteRuns(api.DeleteRunsRequest(run_ids=[RUN]))
        _, closing = await until(call, "closing")
        assert closing.closing.reason == api.WATCH_CLOSING_REASON_DELETED
        assert await heard(call) is grpc.aio.EOF


@ON_A_FILE
async def test_a_draining_server_says_goodbye_with_a_cursor_that_resumes_elsewhere(store: Store, tmp_path: Any) -> None:
    await create_run(store.client, RUN)
    async with watching(store) as call:
        await until(call, "caught_up")
        draining = asyncio.create_task(store.running.drain())
        _, closing = await until(call, "closing")
        assert closing.closing.reason == api.WATCH_CLOSING_REASON_DRAINING
        assert await heard(call) is grpc.aio.EOF
        await draining
    async with running_store(store.database) as again:
        await add(again.client, RUN, hook_created())
        async with watching(again, cursor=closing.cursor) as call:
            assert await seqs(call, 1) == [3]


async def test_a_watch_of_all_runs_sees_them_in_the_order_of_commits(store: Store) -> None:
    async with watching(store, all_runs=True) as call:
        assert (await heard(call)).WhichOneof("kind") == "caught_up"
        for name in ("a", "b"):
            await create_run(store.client, name)
        await add(store.client, "a", hook_created())
        found: list[tuple[str, int]] = []
        while len(found) < 5:
            found += [(event.run_id, event.seq) for event in (await heard(call)).batch.events]
        assert found == [("a", 1), ("a", 2), ("b", 1), ("b", 2), ("a", 3)]


async def test_a_watch_of_all_runs_may_ask_for_one_workflow(store: Store) -> None:
    async with watching(store, all_runs=True, workflow_name="wanted", start=api.WATCH_START_EARLIEST) as call:
        await until(call, "caught_up")
        await create_run(store.client, "other", workflow_name="unwanted")
        await create_run(store.client, "mine", workflow_name="wanted")
        assert {event.run_id for event in (await heard(call)).batch.events} == {"mine"}


@ON_A_FILE
async def test_a_watch_of_all_runs_resumes_over_a_restart_without_a_gap(store: Store) -> None:
    async with watching(store, all_runs=True) as call:
        caught_up = await heard(call)
    await create_run(store.client, RUN)
    await store.running.drain()
    async with running_store(store.database) as again:
        await add(again.client, RUN, hook_created())
        async with watching(again, all_runs=True, cursor=caught_up.cursor) as call:
            assert await seqs(call, 3) == [1, 2, 3]


async def test_a_cursor_with_deleted_events_behind_it_has_expired_and_names_one_that_goes_on(store: Store) -> None:
    await create_run(store.client, "kept")
    async with watching(store, all_runs=True) as call:
        caught_up = await heard(call)
    await create_run(store.client, "gone")
    await add(store.client, "gone", run_completed())
    await add(store.client, "kept", hook_created())
    await store.client.events.DeleteRuns(api.DeleteRunsRequest(run_ids=["gone"]))
    with refused("CURSOR_EXPIRED") as refusal:
        async with watching(store, all_runs=True, cursor=caught_up.cursor) as call:
            await heard(call)
    from holdfast.v1 import error_pb2

    detail = refusal.detail(error_pb2.CursorExpired)
    assert detail.oldest_position == 1
    async with watching(store, all_runs=True, cursor=detail.oldest_cursor) as call:
        batch = (await heard(call)).batch
        assert [(event.run_id, event.seq) for event in batch.events] == [("kept", 3)]


async def test_a_watch_from_the_earliest_reads_what_is_left_and_resumes_in_the_middle(store: Store) -> None:
    for name in ("a", "b", "c"):
        await create_run(store.client, name, input=payload_pb2.Payload(text='"' + "x" * 600_000 + '"'))
    await add(store.client, "b", run_completed())
    await store.client.events.DeleteRuns(api.DeleteRunsRequest(run_ids=["b"]))
    async with watching(store, all_runs=True, start=api.WATCH_START_EARLIEST) as call:
        first = await heard(call)
        assert {event.run_id for event in first.batch.events} == {"a"}
    async with watching(store, all_runs=True, cursor=first.cursor) as call:
        assert {event.run_id for event in (await heard(call)).batch.events} == {"c"}


async def test_a_watch_has_no_gap_and_no_double_under_concurrent_writers(store: Store) -> None:
    await create_run(store.client, RUN)
    await add(store.client, RUN, hook_created())
    count = 200

    async def write(number: int) -> None:
        await add(store.client, RUN, hook_received(text=str(number)))

    async with watching(store) as one, watching(store, all_runs=True, start=api.WATCH_START_EARLIEST) as everything:
        writers = asyncio.gather(*(write(number) for number in range(count)))
        assert await seqs(one, count + 3) == list(range(1, count + 4))
        assert await seqs(everything, count + 3) == list(range(1, count + 4))
        await writers


async def test_a_watcher_that_does_not_read_holds_up_no_writer_and_misses_nothing(store: Store) -> None:
    """Its flow-control window fills, its watch stands still, the writers go on, and then it reads all of it."""
    await create_run(store.client, RUN)
    await add(store.client, RUN, hook_created())
    body = '"' + "x" * 200_000 + '"'
    async with StoreClient(store.address) as slow:
        call = slow.events.WatchEvents(api.WatchEventsRequest(run_id=RUN))
        await heard(call)
        for _ in range(60):
            await add(store.client, RUN, hook_received(text=body))
        assert await seqs(call, 60) == list(range(4, 64))
        call.cancel()


async def test_payloads_come_as_stored_unless_asked_otherwise(store: Store) -> None:
    await create_run(store.client, RUN, input=payload_pb2.Payload(text='{"a":1}'))
    bodies = []
    for view in (0, payload_pb2.PAYLOAD_VIEW_OMITTED, payload_pb2.PAYLOAD_VIEW_VALUE):
        async with watching(store, view=view) as call:
            bodies.append((await heard(call)).batch.events[0].run_created.input)
    assert bodies[0].text == '{"a":1}'
    assert bodies[1].WhichOneof("body") is None and bodies[1].size_bytes == 7
    assert bodies[2].value.struct_value.fields["a"].number_value == 1


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"run_id": "nobody"}, "RUN_NOT_FOUND"),
        ({"cursor": "made-up"}, "INVALID_CURSOR"),
        ({"all_runs": True, "cursor": "made-up"}, "INVALID_CURSOR"),
        ({"all_runs": False}, "INVALID_FIELD"),
        ({"run_id": "not an id"}, "INVALID_FIELD"),
        ({"types": [99]}, "INVALID_FIELD"),
        ({"start": 99}, "INVALID_FIELD"),
        ({"view": 99}, "INVALID_FIELD"),
        ({"workflow_name": "w"}, "INVALID_FIELD"),
        ({"all_runs": True, "stop_at_terminal": True}, "INVALID_FIELD"),
        ({"progress_interval": {"seconds": 61}}, "INVALID_FIELD"),
        ({"progress_interval": {"seconds": -1}}, "INVALID_FIELD"),
    ],
)
async def test_a_watch_that_cannot_be_is_refused(store: Store, fields: dict[str, Any], reason: str) -> None:
    await create_run(store.client, RUN)
    with refused(reason):
        async with watching(store, **fields) as call:
            await heard(call)


async def test_a_cursor_of_another_run_or_scope_is_refused(store: Store) -> None:
    created = await create_run(store.client, RUN)
    await create_run(store.client, "order-2")
    async with watching(store, all_runs=True, start=api.WATCH_START_EARLIEST) as call:
        store_wide = (await heard(call)).cursor
    for fields in ({"run_id": "order-2", "cursor": created.next_cursor}, {"cursor": store_wide}):
        with refused("INVALID_CURSOR"):
            async with watching(store, **fields) as call:
                await heard(call)
    with refused("INVALID_CURSOR"):
        async with watching(store, all_runs=True, cursor=created.next_cursor) as call:
            await heard(call)


async def test_a_watch_needs_a_scope(store: Store) -> None:
    with refused("INVALID_FIELD") as refusal:
        await store.client.events.WatchEvents(api.WatchEventsRequest()).read()
    assert refusal.field == "scope"
