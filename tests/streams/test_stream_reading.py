"""What a store promises to those who read a stream."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from holdfast.v1 import stream_service_pb2 as api
from tests.streams.flow import STEP, Flow, by
from tests.support.store import Store, refused

FINAL: dict[str, Any] = {"mode": api.STREAM_READ_MODE_FINAL}


@pytest.fixture
async def flow(store: Store) -> Flow:
    return await Flow(store.client).begin(STEP)


async def test_any_number_of_readers_get_every_chunk_in_order_as_it_is_written(flow: Flow) -> None:
    readings = [flow.read() for _ in range(5)]
    for chunk in (b"a", b"", b"b"):
        await flow.write(chunk)
        assert [await reading.chunk() for reading in readings] == [chunk] * 5
    await flow.close()
    assert [await reading.told() for reading in readings] == [[]] * 5


async def test_a_chunk_carries_its_index_its_author_and_the_media_type(flow: Flow) -> None:
    await flow.write(b"a", author=by(1), content_type="text/plain")
    await flow.write(b"b")
    reading = flow.read()
    first, second = await reading.message(), await reading.message()
    assert (first.next_index, first.author, first.content_type) == (1, by(1), "text/plain")
    assert (second.next_index, second.HasField("author")) == (2, False)


async def test_a_stream_that_does_not_exist_yet_is_waited_for_but_not_by_a_snapshot(flow: Flow) -> None:
    with refused("RESOURCE_NOT_FOUND"):
        await flow.read(snapshot=True).message()
    reading = flow.read()
    await flow.write(b"a")
    assert await reading.chunk() == b"a"


@pytest.mark.parametrize(
    ("start_index", "expected"),
    [
        (0, [b"0", b"1", b"2"]),
        (2, [b"2"]),
        (3, []),
        (9, []),
        (-1, [b"2"]),
        (-2, [b"1", b"2"]),
        (-9, [b"0", b"1", b"2"]),
    ],
)
async def test_reading_begins_at_an_index_from_either_end(flow: Flow, start_index: int, expected: list[bytes]) -> None:
    await flow.write(b"0", b"1", b"2")
    assert await flow.snapshot(start_index=start_index) == expected


async def test_a_reader_from_beyond_the_end_gets_what_comes_there(flow: Flow) -> None:
    await flow.write(b"0")
    reading = flow.read(start_index=2)
    await flow.write(b"1", b"2")
    message = await reading.message()
    assert (message.data, message.next_index) == (b"2", 3)


async def test_a_place_counted_from_the_end_is_told_at_once(flow: Flow) -> None:
    reading = flow.read(start_index=-1)
    message = await reading.any_message()
    assert (message.WhichOneof("kind"), message.next_index) == ("progress", 0)


async def test_a_snapshot_ends_with_what_there_was(flow: Flow) -> None:
    await flow.write(b"0", b"1")
    reading = flow.read(snapshot=True)
    assert await reading.told() == [b"0", b"1"]


async def test_the_end_tells_the_size(flow: Flow) -> None:
    await flow.write(b"abc", b"de", close=True)
    reading = flow.read(start_index=2)
    message = await reading.message()
    assert (message.WhichOneof("kind"), message.end.size_bytes, message.next_index) == ("end", 5, 2)


async def test_the_end_of_the_run_ends_its_readers_whether_or_not_there_is_a_stream(flow: Flow) -> None:
    await flow.write(b"a")
    from tests.streams.flow import ref

    reading, waiting = flow.read(), flow.read(stream=ref("never"))
    assert await reading.chunk() == b"a"
    await flow.end()
    assert await reading.told() == []
    assert await waiting.told() == []
    assert await flow.read().told() == [b"a"]


async def test_a_silent_stream_shows_that_it_is_alive(flow: Flow) -> None:
    await flow.write(b"a")
    reading = flow.read(start_index=1, progress_interval={"seconds": 1})
    message = await reading.any_message()
    assert message.WhichOneof("kind") == "progress" and message.next_index == 1
    assert message.progress.server_time.seconds


async def test_a_reader_that_does_not_read_holds_up_nobody(flow: Flow) -> None:
    lazy = flow.read()
    written = 0
    for _ in range(12):
        await flow.write(*[b"x" * 256 * 1024] * 8)
        written += 8
    eager = flow.read(start_index=written - 1)
    assert len(await eager.chunk()) == 256 * 1024
    await flow.close()
    assert [len(chunk) for chunk in await lazy.told()] == [256 * 1024] * written


async def test_a_new_attempt_is_told_once_before_its_first_chunk(flow: Flow) -> None:
    reading = flow.read(with_resets=True)
    await flow.write(b"a1", b"b1", author=by(1))
    await flow.retry(1)
    await flow.write(b"a2", author=by(2))
    await flow.complete(2)
    await flow.close()
    assert await reading.told() == [b"a1", b"b1", 2, b"a2"]
    assert await flow.read(with_resets=True).told() == [b"a1", b"b1", 2, b"a2"]
    assert await flow.read().told() == [b"a1", b"b1", b"a2"]


async def test_a_new_attempt_is_told_when_it_begins_although_it_writes_nothing(flow: Flow) -> None:
    await flow.write(b"a1", author=by(1))
    reading = flow.read(with_resets=True)
    assert await reading.chunk() == b"a1"
    await flow.retry(1)
    assert (await reading.message()).reset.author == by(2)
    await flow.complete(2)
    await flow.end()
    assert await reading.told() == []
    assert await flow.read(with_resets=True).told() == [b"a1", 2]


async def test_an_attempt_that_wrote_nothing_is_no_reason_for_a_reset(flow: Flow) -> None:
    await flow.retry(1)
    await flow.write(b"a2", author=by(2), close=True)
    assert await flow.read(with_resets=True).told() == [b"a2"]


async def test_a_reader_that_comes_back_misses_no_reset(flow: Flow) -> None:
    await flow.write(b"a1", author=by(1))
    await flow.retry(1)
    await flow.write(b"a2", author=by(2), close=True)
    assert await flow.read(with_resets=True, start_index=1).told() == [2, b"a2"]
    assert await flow.read(with_resets=True, start_index=2).told() == []


async def test_each_step_is_reset_for_itself(store: Store) -> None:
    flow = await Flow(store.client).begin("step_a#1", "step_b#1")
    await flow.write(b"a", author=by(1, "step_a#1"))
    await flow.write(b"b", author=by(1, "step_b#1"))
    await flow.retry(1, "step_a#1")
    await flow.write(b"A", author=by(2, "step_a#1"), close=True)
    assert await flow.read(with_resets=True).told() == [b"a", b"b", 2, b"A"]


async def test_final_readers_get_chunks_of_attempts_that_succeeded_at_their_index(flow: Flow) -> None:
    await flow.write(b"a1", author=by(1))
    await flow.retry(1)
    await flow.write(b"a2", author=by(2))
    await flow.write(b"open")
    reading = flow.read(**FINAL)
    await flow.complete(2)
    await flow.close()
    first, second = await reading.message(), await reading.message()
    assert [(it.data, it.next_index) for it in (first, second)] == [(b"a2", 2), (b"open", 3)]
    assert await reading.told() == []


async def test_a_final_reader_waits_for_the_outcome_of_an_attempt(flow: Flow) -> None:
    await flow.write(b"a1", author=by(1))
    reading = flow.read(**FINAL, start_index=-1)
    assert (await reading.any_message()).WhichOneof("kind") == "progress"
    await flow.complete(1)
    assert await reading.chunk() == b"a1"
    reading.cancel()


async def test_a_step_that_failed_for_good_leaves_nothing_to_final_readers(flow: Flow) -> None:
    await flow.write(b"a1", author=by(1), close=True)
    reading = flow.read(**FINAL)
    await flow.fail(1)
    await flow.end()
    assert await reading.told() == []


async def test_the_close_of_an_attempt_that_failed_does_not_end_a_final_reader(flow: Flow) -> None:
    await flow.write(b"a1", author=by(1), close=True)
    reading = flow.read(**FINAL)
    await flow.retry(1)
    await flow.write(b"a2", author=by(2), close=True)
    await flow.complete(2)
    assert await reading.told() == [b"a2"]


async def test_the_end_of_a_run_decides_what_was_open(flow: Flow) -> None:
    await flow.write(b"mine")
    await flow.write(b"a1", author=by(1))
    reading = flow.read(**FINAL)
    assert await reading.chunk() == b"mine"
    await flow.end()
    assert await reading.told() == []


async def test_a_final_snapshot_shows_what_has_succeeded_so_far(flow: Flow) -> None:
    await flow.write(b"a1", author=by(1))
    await flow.write(b"mine")
    assert await flow.snapshot(**FINAL) == [b"mine"]


async def test_steps_of_another_run_are_judged_by_their_own_log(store: Store, flow: Flow) -> None:
    child = await Flow(store.client, "child").begin("step_c#1")
    await flow.write(b"c1", author=by(1, "step_c#1", "child"))
    live, final = flow.read(with_resets=True), flow.read(**FINAL)
    assert await live.chunk() == b"c1"
    await child.retry(1, "step_c#1")
    assert (await live.message()).reset.author == by(2, "step_c#1", "child")
    await flow.write(b"c2", author=by(2, "step_c#1", "child"))
    await child.complete(2, "step_c#1")
    assert await final.chunk() == b"c2"
    final.cancel()
    live.cancel()


async def test_reading_and_writing_at_once_gives_a_dense_log_to_everyone(flow: Flow) -> None:
    async def write(name: str) -> None:
        for number in range(30):
            await flow.write(b"%s%d" % (name.encode(), number), writer_id=name, writer_chunk=number)

    readings = [flow.read(), flow.read()]
    await asyncio.gather(*(write(name) for name in "abc"))
    await flow.close()
    first, second = [await reading.chunks() for reading in readings]
    assert first == second and len(first) == 90
    for name in (b"a", b"b", b"c"):
        assert [it for it in first if it.startswith(name)] == [b"%s%d" % (name, number) for number in range(30)]
