"""The outbox: order, one send at a time, backpressure, and what a failed send does."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from holdfast.outbox import Outbox


class Sends:
    """A sender that the test lets go on; keeps what it was given."""

    def __init__(self) -> None:
        self.sent: list[tuple[int, list[bytes]]] = []
        self.may_go = asyncio.Semaphore(0)
        self.began = asyncio.Event()
        self.failure: Exception | None = None

    async def __call__(self, chunks: Sequence[bytes], first_number: int) -> None:
        self.began.set()
        await self.may_go.acquire()
        if self.failure is not None:
            raise self.failure
        self.sent.append((first_number, list(chunks)))

    def go_on(self, times: int = 100) -> None:
        for _ in range(times):
            self.may_go.release()


def outbox(sends: Sends, *, bytes_max: int = 100, send_bytes_max: int = 10, send_chunks_max: int = 4) -> Outbox:
    return Outbox(sends, bytes_max=bytes_max, send_bytes_max=send_bytes_max, send_chunks_max=send_chunks_max)


async def test_a_lone_chunk_leaves_at_once_and_what_comes_meanwhile_goes_together() -> None:
    sends = Sends()
    box = outbox(sends)
    await box.put(b"a")
    await sends.began.wait()
    for chunk in (b"b", b"c", b"d"):
        await box.put(chunk)
    sends.go_on()
    assert await box.flush() == 4
    assert sends.sent == [(0, [b"a"]), (1, [b"b", b"c", b"d"])]


async def test_a_send_has_at_most_so_many_bytes_and_chunks_but_one_always_fits() -> None:
    sends = Sends()
    box = outbox(sends)
    for chunk in (b"x" * 30, b"aaaaa", b"bbbbb", b"c", *[b""] * 5):
        await box.put(chunk)
    sends.go_on()
    await box.flush()
    assert [len(chunks) for _, chunks in sends.sent] == [1, 2, 4, 2]
    assert [first for first, _ in sends.sent] == [0, 1, 3, 7]


async def test_a_writer_that_is_too_fast_waits_and_keeps_its_place() -> None:
    sends = Sends()
    box = outbox(sends, bytes_max=4)
    await box.put(b"abc")
    waiting = [asyncio.create_task(box.put(chunk)) for chunk in (b"1", b"2")]
    await sends.began.wait()
    assert not any(task.done() for task in waiting)
    sends.go_on()
    await asyncio.gather(*waiting)
    assert await box.flush() == 3
    assert [chunk for _, chunks in sends.sent for chunk in chunks] == [b"abc", b"1", b"2"]


async def test_a_failed_send_fails_every_put_and_flush_after_it_and_those_that_wait() -> None:
    sends = Sends()
    box = outbox(sends, bytes_max=1)
    await box.put(b"a")
    waiting = asyncio.create_task(box.put(b"b"))
    sends.failure = ConnectionError("gone")
    sends.go_on()
    for work in (waiting, box.flush(), box.put(b"c")):
        with pytest.raises(ConnectionError, match="gone"):
            await work
    assert sends.sent == []


async def test_stopping_lets_go_of_whoever_waits() -> None:
    sends = Sends()
    box = outbox(sends, bytes_max=1)
    await box.put(b"a")
    waiting = asyncio.create_task(box.put(b"b"))
    box.stop()
    for work in (waiting, box.flush()):
        with pytest.raises(asyncio.CancelledError):
            await work
    box.stop()


async def test_an_empty_outbox_is_flushed_at_once() -> None:
    assert await outbox(Sends()).flush() == 0
