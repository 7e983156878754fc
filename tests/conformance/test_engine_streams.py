"""Conformance: byte streams, their writers and their chunks."""

from __future__ import annotations

from dataclasses import replace

import pytest

from holdfast.refusal import Refusal
from store_service.engines.contract import Engine, Reader, Transaction
from store_service.engines.stream_contract import StreamRow, StreamWriterRow

STREAM = StreamRow(0, "run_a", "tokens", "text/plain", 0, 0, False, "", "", 0, 1_000, 1_000)
WRITER = StreamWriterRow(0, 0, "w", "run_a", "step_a", 1, 0, 0)


async def write(engine: Engine, *chunks: bytes, row: StreamRow = STREAM, writer: StreamWriterRow = WRITER) -> StreamRow:
    """Insert a stream with one writer and its chunks."""

    def unit(tx: Transaction) -> StreamRow:
        stream = tx.insert_stream(row)
        number = tx.insert_stream_writer(replace(writer, stream=stream.number)).number
        tx.insert_chunks(stream.number, number, 0, [(it, b"sum of " + it) for it in chunks])
        after = replace(stream, next_index=len(chunks), size_bytes=sum(map(len, chunks)))
        tx.put_stream(after)
        return after

    return await engine.write(unit)


async def test_a_stream_comes_back_with_its_number(engine: Engine) -> None:
    row = await write(engine, b"a")
    assert row.number > 0
    assert await engine.read(lambda tx: tx.stream("run_a", "tokens")) == row
    assert await engine.read(lambda tx: tx.stream("run_a", "other")) is None
    assert await engine.read(lambda tx: tx.stream("run_b", "tokens")) is None


async def test_a_stream_is_replaced_and_its_closer_kept(engine: Engine) -> None:
    row = await write(engine)
    closed = replace(
        row, is_closed=True, closer_run_id="run_c", closer_step_id="step_c", closer_attempt=3, update_ms=2_000
    )
    await engine.write(lambda tx: tx.put_stream(closed))
    assert await engine.read(lambda tx: tx.stream("run_a", "tokens")) == closed


async def test_putting_what_is_not_there_is_an_error(engine: Engine) -> None:
    with pytest.raises(LookupError, match="tokens"):
        await engine.write(lambda tx: tx.put_stream(STREAM))
    with pytest.raises(LookupError, match="writer 7"):
        await engine.write(lambda tx: tx.put_stream_writer(replace(WRITER, number=7)))


async def test_a_name_is_taken_once_per_run(engine: Engine) -> None:
    await write(engine)
    await write(engine, row=replace(STREAM, run_id="run_b"))
    with pytest.raises(Exception, match=r"(?i)unique"):
        await write(engine)


async def test_chunks_come_in_order_from_an_index_with_their_writer(engine: Engine) -> None:
    row = await write(engine, b"zero", b"", b"two", b"\x00\xff")
    found = await engine.read(lambda tx: tx.chunks(row.number, from_index=1, limit=2, bytes_max=100))
    assert [(it.index, it.step_run_id, it.step_id, it.attempt, it.data, it.checksum) for it in found] == [
        (1, "run_a", "step_a", 1, b"", b"sum of "),
        (2, "run_a", "step_a", 1, b"two", b"sum of two"),
    ]
    assert await engine.read(lambda tx: tx.chunks(row.number, from_index=4, limit=2, bytes_max=100)) == []
    assert await engine.read(lambda tx: tx.chunks(row.number, from_index=0, limit=0, bytes_max=100)) == []


async def test_a_page_of_chunks_ends_with_the_one_that_fills_it(engine: Engine) -> None:
    row = await write(engine, *[b"x" * 10] * 5)
    for bytes_max, count in ((1, 1), (10, 1), (11, 2), (1_000, 5)):
        found = await engine.read(
            lambda tx, bytes_max=bytes_max: tx.chunks(row.number, from_index=0, limit=9, bytes_max=bytes_max)
        )
        assert len(found) == count


async def test_a_writer_is_found_by_all_that_it_is(engine: Engine) -> None:
    row = await write(engine)

    def find(**changes: object) -> object:
        wanted = {"writer_id": "w", "step_run_id": "run_a", "step_id": "step_a", "attempt": 1, **changes}
        return engine.read(lambda tx: tx.stream_writer(row.number, **wanted))

    found = await find()
    assert found == replace(WRITER, number=found.number, stream=row.number)
    for change in ({"writer_id": ""}, {"step_run_id": "run_b"}, {"step_id": "step_b"}, {"attempt": 2}):
        assert await find(**change) is None
    await engine.write(lambda tx: tx.put_stream_writer(replace(found, next_chunk=9)))
    assert (await find()).next_chunk == 9


async def test_the_latest_attempt_of_each_step_before_an_index(engine: Engine) -> None:
    def unit(tx: Transaction) -> int:
        stream = tx.insert_stream(STREAM).number
        for step_id, attempt, first in (("step_a", 1, 0), ("step_a", 2, 5), ("step_b", 1, 3), ("", 0, 1)):
            row = StreamWriterRow(0, stream, "w", "run_a" if step_id else "", step_id, attempt, 1, first)
            tx.insert_stream_writer(row)
        return stream

    number = await engine.write(unit)

    async def latest(before_index: int) -> list[tuple[str, str, int]]:
        return await engine.read(lambda tx: tx.latest_attempts(number, before_index=before_index))

    assert await latest(0) == []
    assert await latest(5) == [("run_a", "step_a", 1), ("run_a", "step_b", 1)]
    assert await latest(6) == [("run_a", "step_a", 2), ("run_a", "step_b", 1)]


async def test_streams_are_listed_by_name_and_counted(engine: Engine) -> None:
    for name in ("c", "a", "b"):
        await write(engine, row=replace(STREAM, name=name))
    await write(engine, row=replace(STREAM, run_id="run_b", name="a"))

    async def names(after: str, limit: int) -> list[str]:
        return [row.name for row in await engine.read(lambda tx: tx.streams("run_a", after=after, limit=limit))]

    assert await names("", 2) == ["a", "b"]
    assert await names("b", 2) == ["c"]
    assert await engine.read(lambda tx: tx.stream_count("run_a")) == 3
    assert await engine.read(lambda tx: tx.stream_count("run_c")) == 0


async def test_deleting_a_run_deletes_its_streams_and_no_others(engine: Engine) -> None:
    gone = await write(engine, b"a", b"b")
    kept = await write(engine, b"c", row=replace(STREAM, run_id="run_b"))
    await engine.write(lambda tx: tx.delete_run("run_a"))

    def look(tx: Reader) -> tuple[object, ...]:
        return (
            tx.stream("run_a", "tokens"),
            tx.chunks(gone.number, from_index=0, limit=9, bytes_max=99),
            tx.stream_writer(gone.number, "w", "run_a", "step_a", 1),
            [it.data for it in tx.chunks(kept.number, from_index=0, limit=9, bytes_max=99)],
        )

    assert await engine.read(look) == (None, [], None, [b"c"])
    assert (await write(engine)).number not in (gone.number, kept.number)


async def test_a_refused_unit_leaves_no_chunk(engine: Engine) -> None:
    row = await write(engine, b"a")

    def unit(tx: Transaction) -> None:
        tx.insert_chunks(row.number, 1, 1, [(b"b", b"")])
        raise Refusal("STREAM_CLOSED", "no")

    with pytest.raises(Refusal):
        await engine.write(unit)
    assert len(await engine.read(lambda tx: tx.chunks(row.number, from_index=0, limit=9, bytes_max=99))) == 1


async def test_two_chunks_never_share_an_index(engine: Engine) -> None:
    row = await write(engine, b"a")
    with pytest.raises(Exception, match=r"(?i)unique"):
        await engine.write(lambda tx: tx.insert_chunks(row.number, 1, 0, [(b"b", b"")]))
