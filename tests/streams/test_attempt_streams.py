"""What an attempt owes its streams: the real runner, with a store that the test plays."""

from __future__ import annotations

import asyncio
from typing import Any

from holdfast import RetryPolicy, StreamClosed, step, stream
from holdfast.v1 import stream_service_pb2 as api
from tests.support.attempts import DEADLINE_SECONDS, attempt_of, new_runner, started

ONCE = RetryPolicy(max_attempts=1)


class Written:
    """The store's side: keeps requests, lets appends through when the test says so, or refuses them."""

    def __init__(self, *, is_open: bool = True, refusal: Exception | None = None) -> None:
        self.requests: list[api.AppendChunksRequest] = []
        self.arrived = asyncio.Event()
        self.is_open = asyncio.Event()
        self.refusal = refusal
        if is_open:
            self.is_open.set()

    async def __call__(self, request: api.AppendChunksRequest) -> api.AppendChunksResponse:
        self.arrived.set()
        await self.is_open.wait()
        if self.refusal is not None:
            raise self.refusal
        self.requests.append(request)
        return api.AppendChunksResponse()


@step(name="attempt_streams.write", retry=ONCE)
async def write(count: int) -> str:
    writer, same = stream("s", type=int), stream("s", type=int)
    for number in range(count):
        await (writer if number % 2 else same).write(number)
    return "wrote"


@step(name="attempt_streams.hang", retry=ONCE)
async def hang() -> None:
    await stream("s", type=int).write(1)
    await asyncio.Event().wait()


@step(name="attempt_streams.close", retry=ONCE)
async def close() -> None:
    await stream("s", type=int).write(1)
    await stream("s", type=int).close()


async def outcome_with(written: Written, step_function: Any, *args: Any, **changes: Any) -> Any:
    _, reported = started(attempt_of(step_function, *args, **changes), new_runner(append_chunks=written))
    return await reported.outcome()


async def test_every_append_names_the_attempt_and_goes_on_counting() -> None:
    written = Written()
    event = await outcome_with(written, write, 50, attempt=3)
    assert event.HasField("step_completed")
    numbers = [int(chunk) for request in written.requests for chunk in request.chunks]
    assert numbers == list(range(50)), "two handles on one stream keep the order of the calls"
    expected = 0
    for request in written.requests:
        assert (request.stream.run_id, request.stream.name) == ("run_1", "s")
        assert (request.author.step_id, request.author.attempt) == ("step_it#1", 3)
        assert request.writer_id and request.writer_chunk == expected
        expected += len(request.chunks)


async def test_an_attempt_is_over_only_when_what_it_wrote_is_durable() -> None:
    written = Written(is_open=False)
    _, reported = started(attempt_of(write, 1), new_runner(append_chunks=written))
    async with asyncio.timeout(DEADLINE_SECONDS):
        await written.arrived.wait()
    assert not reported.all
    written.is_open.set()
    assert (await reported.outcome()).HasField("step_completed")
    assert len(written.requests) == 1


async def test_an_append_that_is_refused_fails_the_attempt_although_its_body_returned() -> None:
    event = await outcome_with(Written(refusal=StreamClosed("closed by another")), write, 1)
    assert event.step_failed.failure.type.endswith("StreamClosed")
    assert "closed by another" in event.step_failed.failure.message


async def test_a_close_comes_after_the_last_chunk_with_its_number() -> None:
    written = Written()
    await outcome_with(written, close)
    assert [(list(it.chunks), it.writer_chunk, it.close) for it in written.requests] == [
        ([b"1"], 0, False),
        ([], 1, True),
    ]


async def test_a_cancelled_attempt_does_not_wait_long_for_a_store_that_is_away() -> None:
    written = Written(is_open=False)
    attempt, reported = started(attempt_of(hang), new_runner(append_chunks=written))
    async with asyncio.timeout(DEADLINE_SECONDS):
        await written.arrived.wait()
    attempt.cancel("enough", record=True)
    assert (await reported.outcome()).step_failed.failure.message == "enough"
    assert not written.requests


async def test_a_cancelled_attempt_still_delivers_what_it_had_written() -> None:
    written = Written()
    attempt, reported = started(attempt_of(hang), new_runner(append_chunks=written))
    async with asyncio.timeout(DEADLINE_SECONDS):
        await written.arrived.wait()
    attempt.cancel("enough", record=True)
    await reported.outcome()
    assert [list(it.chunks) for it in written.requests] == [[b"1"]]
