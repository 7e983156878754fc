"""What the authoring page promises about streams, from a step to a client."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from holdfast import (
    Chunk,
    Client,
    LimitExceeded,
    Reset,
    ResourceNotFound,
    RunFailed,
    RunNotFound,
    SerializationError,
    StreamWriter,
    SyncClient,
    WrongContext,
    stream,
)
from tests.streams.writers import (
    Progress,
    cancelled,
    closed,
    counting,
    following,
    from_a_thread,
    parent,
    raw_bytes,
    stumbling,
    writes_itself,
    wrong_items,
)

DEADLINE_SECONDS = 20


async def collected(items: Any) -> list[Any]:
    async with asyncio.timeout(DEADLINE_SECONDS):
        return [item async for item in items]


async def test_items_come_back_as_what_was_written_in_order(client: Client) -> None:
    run = await client.start(counting, 300)
    assert await collected(run.stream("progress", type=Progress)) == [Progress(done=number) for number in range(300)]
    assert await collected(run.stream("progress", start_index=-1)) == [{"done": 299, "note": ""}]
    assert await run.result() == 300


async def test_items_are_live_while_the_step_runs(client: Client, tmp_path: Path) -> None:
    run = await client.start(following, str(tmp_path), 3)
    items = aiter(run.stream("live", type=int))
    for number in range(3):
        (tmp_path / str(number)).touch()
        async with asyncio.timeout(DEADLINE_SECONDS):
            assert await anext(items) == 100 + number
    assert await collected(items) == []


@pytest.mark.parametrize(("start_index", "expected"), [(0, 5), (3, 2), (5, 0), (-2, 2), (-9, 5)])
async def test_reading_begins_at_an_index_from_either_end(client: Client, start_index: int, expected: int) -> None:
    run = await client.start(counting, 5)
    await run.result()
    assert len(await collected(run.stream("progress", start_index=start_index))) == expected


async def test_a_new_attempt_supersedes_what_its_failed_attempt_wrote(client: Client) -> None:
    run = await client.start(stumbling)
    live = await collected(run.stream(type=str).chunks())
    step_id = live[0].step_id
    expected = [
        *(Chunk(index, step_id, 1, f"1{letter}") for index, letter in enumerate("ab")),
        Reset(step_id, 2),
        *(Chunk(index, step_id, 2, f"2{letter}") for index, letter in enumerate("ab", 2)),
        Reset(step_id, 3),
        *(Chunk(index, step_id, 3, f"3{letter}") for index, letter in enumerate("ab", 4)),
    ]
    assert live == expected
    assert await collected(run.stream().chunks()) == expected
    assert await collected(run.stream()) == ["1a", "1b", "2a", "2b", "3a", "3b"]
    assert await collected(run.stream(mode="final")) == ["3a", "3b"]
    assert await collected(run.stream(mode="final").chunks()) == expected[-2:]
    assert await collected(run.stream(mode="final", start_index=5)) == ["3b"]
    assert await collected(run.stream(start_index=-3)) == ["2b", "3a", "3b"]


async def test_a_child_run_writes_to_the_stream_whose_handle_it_was_given(client: Client) -> None:
    run = await client.start(parent)
    live = await collected(run.stream("family", type=str).chunks())
    assert await run.result() == "done"
    resets = [it for it in live if isinstance(it, Reset)]
    assert [it.attempt for it in resets] == [2, 3]
    assert [it.data for it in live if isinstance(it, Chunk)] == ["1a", "1b", "2a", "2b", "3a", "3b"]
    assert await collected(run.stream("family", mode="final")) == ["3a", "3b"]


async def test_bytes_travel_as_they_are(client: Client) -> None:
    run = await client.start(raw_bytes, 16, 64 * 1024)
    chunks = await collected(run.stream("raw", type=bytes))
    assert [len(chunk) for chunk in chunks] == [64 * 1024] * 16
    assert b"".join(chunk[:1] for chunk in chunks) == bytes(range(16))
    info = await run.stream_info("raw")
    assert (info.content_type, info.size_bytes, info.closed) == ("application/octet-stream", 1024 * 1024, True)


async def test_a_step_that_is_a_plain_function_writes_by_asyncio_run(client: Client) -> None:
    run = await client.start(from_a_thread)
    assert await collected(run.stream("plain", type=str)) == [f"plain {number}" for number in range(5)]
    await run.result()


async def test_close_ends_readers_while_the_step_goes_on_and_writing_after_it_is_told(
    client: Client, tmp_path: Path
) -> None:
    run = await client.start(closed, str(tmp_path))
    assert await collected(run.stream("ends")) == [1]
    assert await run.status() == "running"
    (tmp_path / "go").touch()
    assert "StreamClosed: stream 'ends' was closed by this step" in await run.result("20s")


async def test_the_end_of_a_run_ends_its_readers(client: Client, tmp_path: Path) -> None:
    run = await client.start(cancelled, str(tmp_path))
    reading = asyncio.ensure_future(collected(run.stream("cut")))
    never = asyncio.ensure_future(collected(run.stream("never_written")))
    chunks = aiter(run.stream("cut").chunks())
    assert (await anext(chunks)).data == 1
    await run.cancel(force=True)
    assert (await reading, await never) == ([1], [])
    assert await collected(run.stream("cut", mode="final")) == []


async def test_what_cannot_be_written_fails_the_step_with_a_clear_error(client: Client) -> None:
    for kind, error in (("type", SerializationError), ("size", LimitExceeded)):
        run = await client.start(wrong_items, kind)
        with pytest.raises(RunFailed) as caught:
            await run.result("20s")
        cause = caught.value.__cause__
        assert cause is not None and isinstance(cause.__cause__, error)
        assert "stream wrong" in str(cause.__cause__)


async def test_a_workflow_body_passes_the_handle_on_and_does_not_write(client: Client) -> None:
    said = await (await client.start(writes_itself)).result("20s")
    assert said.startswith("WrongContext: write() on stream 'mine' in a workflow body: pass the handle to a step")


async def test_a_stream_that_nobody_wrote_has_no_info(client: Client) -> None:
    run = await client.start(counting, 0)
    await run.result()
    with pytest.raises(ResourceNotFound, match="progress"):
        await run.stream_info("progress")
    with pytest.raises(RunNotFound):
        await client.run("nobody").stream_info()
    with pytest.raises(RunNotFound):
        await collected(client.run("nobody").stream())


async def test_misuse_is_told_where_it_is_written(client: Client) -> None:
    with pytest.raises(ValueError, match="stream name"):
        client.run("run_1").stream("no/slash")
    with pytest.raises(ValueError, match="live, final"):
        client.run("run_1").stream(mode="latest")
    with pytest.raises(WrongContext, match=r"run\.stream"):
        stream("progress")
    with pytest.raises(WrongContext, match="works in steps"):
        await StreamWriter[int]("run_1", "progress").write(1)


async def test_an_item_that_does_not_fit_the_readers_type_is_told(client: Client) -> None:
    run = await client.start(counting, 1)
    with pytest.raises(SerializationError):
        await collected(run.stream("progress", type=int))


async def test_plain_code_reads_streams_too(runtime_address: str) -> None:
    def work() -> None:
        with SyncClient(runtime_address) as client:
            run = client.start(counting, 3)
            assert list(run.stream("progress", type=Progress)) == [Progress(done=number) for number in range(3)]
            assert [it.index for it in run.stream("progress").chunks() if isinstance(it, Chunk)] == [0, 1, 2]
            assert run.stream_info("progress").next_index == 3
            for _ in run.stream("progress"):
                break

    await asyncio.to_thread(work)
