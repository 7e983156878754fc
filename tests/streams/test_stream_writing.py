"""What a store promises to those who write a stream."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from holdfast.v1 import error_pb2
from holdfast.v1 import store_service_pb2 as store_api
from holdfast.v1 import stream_service_pb2 as api
from store_service.rules import streams
from tests.streams.flow import NAME, RUN, STEP, Flow, append_request, by, ref
from tests.support.store import Store, StoreProcess, refused


@pytest.fixture
async def store(any_store: Store) -> Store:
    """On each engine."""
    return any_store


@pytest.fixture
async def flow(store: Store) -> Flow:
    return await Flow(store.client).begin(STEP)


async def test_a_stream_is_created_by_its_first_chunk_and_remembers_its_first_media_type(flow: Flow) -> None:
    with refused("RESOURCE_NOT_FOUND") as refusal:
        await flow.info()
    assert NAME in refusal.message
    await flow.write(b"ab", content_type="text/plain")
    await flow.write(b"c", content_type="other/thing")
    info = await flow.info()
    assert (info.stream.run_id, info.stream.name, info.content_type) == (RUN, NAME, "text/plain")
    assert (info.next_index, info.size_bytes, info.closed) == (2, 3, False)
    assert info.create_time.ToMilliseconds() <= info.update_time.ToMilliseconds()


async def test_a_retried_append_writes_each_chunk_once(flow: Flow) -> None:
    first = await flow.write(b"a", b"b", writer_id="w")
    assert (first.next_writer_chunk, first.skipped_count) == (2, 0)
    again = await flow.write(b"a", b"b", b"c", writer_id="w")
    assert (again.next_writer_chunk, again.skipped_count, again.stream.next_index) == (3, 2, 3)
    other = await flow.write(b"x", writer_id="v")
    assert (other.next_writer_chunk, other.stream.next_index) == (1, 4)
    assert await flow.snapshot() == [b"a", b"b", b"c", b"x"]


async def test_a_repeat_gets_its_answer_after_the_close_and_after_the_end_of_the_run(flow: Flow) -> None:
    request = append_request(b"a", writer_id="w", close=True, author=by(1))
    await flow.stub.AppendChunks(request)
    again = await flow.stub.AppendChunks(request)
    assert (again.skipped_count, again.stream.closed) == (1, True)
    await flow.end()
    assert (await flow.stub.AppendChunks(request)).skipped_count == 1
    assert await flow.snapshot() == [b"a"]


async def test_a_writer_that_skips_numbers_is_refused(flow: Flow) -> None:
    await flow.write(b"a", writer_id="w")
    with refused("INVALID_FIELD") as refusal:
        await flow.write(b"c", writer_id="w", writer_chunk=2)
    assert refusal.field == "writer_chunk"
    assert refusal.info.metadata["next_writer_chunk"] == "1"
    assert (await flow.info()).next_index == 1


async def test_without_a_writer_id_nothing_is_recognised(flow: Flow) -> None:
    await flow.write(b"a")
    answer = await flow.write(b"a")
    assert (answer.skipped_count, answer.stream.next_index) == (0, 2)


async def test_a_closed_stream_takes_no_more_chunks_and_closes_again_without_a_word(flow: Flow) -> None:
    await flow.write(b"a")
    assert (await flow.close()).closed
    for fields in ({}, {"close": True}):
        with refused("STREAM_CLOSED"):
            await flow.write(b"b", **fields)
    assert (await flow.close()).next_index == 1
    assert await flow.snapshot() == [b"a"]


async def test_a_stream_can_be_closed_before_its_first_chunk(flow: Flow) -> None:
    assert (await flow.close()).closed
    assert await flow.read().told() == []


async def test_the_end_of_a_run_ends_its_streams(flow: Flow) -> None:
    await flow.write(b"a")
    await flow.end()
    with refused("RUN_TERMINAL") as refusal:
        await flow.write(b"b")
    assert refusal.detail(error_pb2.IllegalTransition).run_id == RUN
    assert (await flow.info()).closed
    assert (await flow.close()).closed
    with refused("RUN_TERMINAL"):
        await flow.stub.CloseStream(api.CloseStreamRequest(stream=ref("other")))


async def test_an_unknown_run_has_no_streams(flow: Flow) -> None:
    nobody = ref(run_id="nobody")
    calls: list[tuple[str, Any]] = [
        ("AppendChunks", append_request(b"a", stream=nobody)),
        ("CloseStream", api.CloseStreamRequest(stream=nobody)),
        ("GetStream", api.GetStreamRequest(stream=nobody)),
        ("ListStreams", api.ListStreamsRequest(run_id="nobody")),
    ]
    for method, request in calls:
        with refused("RUN_NOT_FOUND"):
            await getattr(flow.stub, method)(request)
    with refused("RUN_NOT_FOUND"):
        await flow.read(stream=nobody).message()


async def test_only_the_running_attempt_of_a_step_may_write(flow: Flow) -> None:
    await flow.write(b"a", author=by(1))
    with refused("ILLEGAL_TRANSITION"):
        await flow.write(b"b", author=by(2))
    await flow.retry(1)
    with refused("ILLEGAL_TRANSITION") as refusal:
        await flow.write(b"late", author=by(1))
    assert refusal.info.metadata["current_attempt"] == "2"
    await flow.write(b"c", author=by(2))
    await flow.complete(2)
    with refused("ILLEGAL_TRANSITION"):
        await flow.write(b"later", author=by(2))
    with refused("ENTITY_NOT_FOUND"):
        await flow.write(b"x", author=by(1, "step_nobody"))
    assert await flow.snapshot() == [b"a", b"c"]


async def test_a_new_attempt_undoes_the_close_of_the_one_before(flow: Flow) -> None:
    await flow.write(b"a", author=by(1), close=True)
    await flow.retry(1)
    assert not (await flow.info()).closed
    await flow.write(b"b", author=by(2), close=True)
    await flow.complete(2)
    assert (await flow.info()).closed
    assert await flow.read().told() == [b"a", b"b"]


async def test_a_close_by_nobody_is_not_undone(flow: Flow) -> None:
    await flow.close()
    await flow.retry(1)
    with refused("STREAM_CLOSED"):
        await flow.write(b"b", author=by(2))


async def test_a_step_of_another_run_may_write_when_it_knows_the_name(store: Store, flow: Flow) -> None:
    await Flow(store.client, "child").begin("step_c#1")
    await flow.write(b"hello", author=by(1, "step_c#1", "child"))
    message = await flow.read().message()
    assert (message.data, message.author) == (b"hello", by(1, "step_c#1", "child"))


@pytest.mark.parametrize(
    ("limit", "value", "chunks"), [("STREAM_CHUNKS_MAX", 2, [b"", b""]), ("STREAM_BYTES_MAX", 4, [b"abcd"])]
)
async def test_a_stream_that_is_full_says_so(
    flow: Flow, monkeypatch: pytest.MonkeyPatch, limit: str, value: int, chunks: list[bytes]
) -> None:
    monkeypatch.setattr(streams.limits, limit, value)
    await flow.write(*chunks)
    with refused("QUOTA_EXCEEDED") as refusal:
        await flow.write(b"x")
    assert refusal.detail(error_pb2.LimitExceeded).limit == limit.lower().removesuffix("_max")
    assert (await flow.info()).next_index == len(chunks)


async def test_a_run_has_only_so_many_streams(flow: Flow, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams.limits, "RUN_STREAMS_MAX", 1)
    await flow.write(b"a")
    await flow.write(b"b")
    with refused("QUOTA_EXCEEDED"):
        await flow.write(b"c", stream=ref("other"))


async def test_streams_are_listed_by_name_in_pages(flow: Flow) -> None:
    for name in ("c", "A", "b"):
        await flow.write(b"x", stream=ref(name))
    first = await flow.stub.ListStreams(api.ListStreamsRequest(run_id=RUN, page_size=2))
    assert [it.stream.name for it in first.streams] == ["A", "b"]
    request = api.ListStreamsRequest(run_id=RUN, page_size=2, page_token=first.next_page_token)
    second = await flow.stub.ListStreams(request)
    assert [it.stream.name for it in second.streams] == ["c"] and not second.next_page_token


async def test_deleting_a_run_deletes_its_streams(flow: Flow) -> None:
    await flow.write(b"secret")
    await flow.end()
    await flow.client.events.DeleteRuns(store_api.DeleteRunsRequest(run_ids=[RUN]))
    await flow.begin()
    with refused("RESOURCE_NOT_FOUND"):
        await flow.info()


async def sent(opening: dict[str, Any], *chunks: bytes) -> AsyncIterator[api.WriteStreamRequest]:
    yield api.WriteStreamRequest(open=api.WriteStreamOpen(**{"stream": ref(), **opening}))
    for chunk in chunks:
        yield api.WriteStreamRequest(data=chunk)


async def test_a_write_takes_chunks_as_they_come_and_closes_at_its_end(flow: Flow) -> None:
    chunks = [b"%d" % number for number in range(2_500)]
    opening = {"writer_id": "w", "close_when_done": True, "content_type": "text/plain"}
    answer = await flow.stub.WriteStream(sent(opening, *chunks))
    assert (answer.next_writer_chunk, answer.skipped_count, answer.stream.closed) == (2_500, 0, True)
    assert await flow.snapshot() == chunks


async def test_chunks_of_a_write_are_readable_before_it_ends(flow: Flow) -> None:
    reading, call = flow.read(), flow.stub.WriteStream()
    async for request in sent({"writer_id": "w"}, b"first"):
        await call.write(request)
    assert await reading.chunk() == b"first"
    await call.write(api.WriteStreamRequest(data=b"second"))
    assert await reading.chunk() == b"second"
    await call.done_writing()
    assert (await call).stream.next_index == 2
    reading.cancel()


async def test_a_write_that_broke_is_sent_again_from_any_earlier_number(flow: Flow) -> None:
    await flow.write(b"0", b"1", b"2", writer_id="w")
    answer = await flow.stub.WriteStream(sent({"writer_id": "w", "writer_chunk": 1}, b"1", b"2", b"3"))
    assert (answer.skipped_count, answer.next_writer_chunk) == (2, 4)
    assert await flow.snapshot() == [b"0", b"1", b"2", b"3"]


async def test_a_write_that_begins_or_goes_on_wrong_is_told_where(flow: Flow) -> None:
    async def without_open() -> AsyncIterator[api.WriteStreamRequest]:
        yield api.WriteStreamRequest(data=b"a")

    async def opened_twice() -> AsyncIterator[api.WriteStreamRequest]:
        for _ in range(2):
            async for request in sent({}):
                yield request

    for requests, field in ((without_open(), "open"), (opened_twice(), "data"), (sent({"writer_chunk": 3}), None)):
        with refused("INVALID_FIELD") as refusal:
            await flow.stub.WriteStream(requests)
        assert refusal.field == (field or "open.writer_chunk")
    with refused("INVALID_FIELD") as refusal:
        await flow.stub.WriteStream(sent({"writer_id": "w", "writer_chunk": 3}, b"x"))
    assert refusal.field == "open.writer_chunk"
    with refused("STREAM_CLOSED"):
        await flow.close()
        await flow.stub.WriteStream(sent({}, b"x"))


async def test_an_idle_write_does_not_hold_up_a_drain(store: Store, flow: Flow) -> None:
    call = flow.stub.WriteStream()
    async for request in sent({"writer_id": "w"}, b"kept"):
        await call.write(request)
    reading = flow.read()
    assert await reading.chunk() == b"kept"
    draining = asyncio.create_task(store.running.drain())
    with refused("NOT_READY") as refusal:
        await call
    assert refusal.info.metadata["next_writer_chunk"] == "1"
    with refused("NOT_READY") as refusal:
        await reading.message()
    assert refusal.info.metadata["next_index"] == "1"
    await draining


async def test_an_acknowledged_chunk_survives_a_kill(store_process: StoreProcess) -> None:
    from tests.support.store import StoreClient

    async with StoreClient(store_process.address) as client:
        flow = await Flow(client).begin()
        await flow.write(b"kept", writer_id="w")
    await asyncio.to_thread(store_process.restart)
    async with StoreClient(store_process.address) as client:
        flow = Flow(client)
        assert (await flow.write(b"kept", b"more", writer_id="w")).skipped_count == 1
        assert await flow.snapshot() == [b"kept", b"more"]
