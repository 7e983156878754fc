"""Pages of a queue end by number or by size, and go on where they ended."""

from __future__ import annotations

import pytest

from holdfast.refusal import Refusal
from holdfast.v1 import payload_pb2
from store_service import limits
from store_service.rules.queue import redrive
from store_service.rules.queue_reading import Page, list_messages
from tests.support.queue_bench import QUEUE, Bench


def page(limit: int, after: int = 0, queue: str = QUEUE) -> Page:
    return Page(queue, after, limit, (), "", payload_pb2.PAYLOAD_VIEW_STORED)


async def numbers_of(bench: Bench, limit: int, after: int = 0) -> tuple[int, int]:
    """Return how many messages a page has, and where the next one goes on."""
    found, last = await bench.engine.read(lambda reader: list_messages(reader, page(limit, after), bench.now_ms))
    return len(found), last


async def test_a_page_has_as_many_messages_as_were_asked_for_also_beyond_one_read(bench: Bench) -> None:
    for _ in range(70):
        await bench.send()
    first, last = await numbers_of(bench, 40)
    assert (first, last > 0) == (40, True)
    assert await numbers_of(bench, 40, last) == (30, 0)


async def test_a_page_ends_with_the_message_that_fills_it(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    for _ in range(5):
        await bench.send("x" * 1000)
    monkeypatch.setattr(limits, "PAGE_BYTES_MAX", 2500)
    first, last = await numbers_of(bench, 100)
    assert (first, last > 0) == (3, True)
    assert await numbers_of(bench, 100, last) == (2, 0)


async def test_a_queue_that_never_had_a_message_is_not_found(bench: Bench) -> None:
    with pytest.raises(Refusal) as caught:
        await bench.engine.read(lambda reader: list_messages(reader, page(10, queue="nobody"), bench.now_ms))
    assert caught.value.reason == "RESOURCE_NOT_FOUND"


@pytest.mark.parametrize(("spare_bytes", "count"), [(-1, 2), (0, 2), (1, 3)])
async def test_a_page_that_is_filled_to_the_byte_ends_there(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, spare_bytes: int, count: int
) -> None:
    for _ in range(5):
        await bench.send("x" * 1000)
    found, _ = await bench.engine.read(lambda reader: list_messages(reader, page(5), bench.now_ms))
    two = sum(it.ByteSize() for it in found[:2])
    monkeypatch.setattr(limits, "PAGE_BYTES_MAX", two + spare_bytes)
    assert (await numbers_of(bench, 100))[0] == count


@pytest.mark.parametrize("message_ids", [[], ["message_1"]])
async def test_nothing_is_redriven_in_a_queue_that_never_had_a_message(bench: Bench, message_ids: list[str]) -> None:
    with pytest.raises(Refusal) as caught:
        await bench.engine.write(lambda tx: redrive(tx, "nobody", message_ids, bench.now_ms))
    assert (caught.value.reason, "nobody" in caught.value.message) == ("RESOURCE_NOT_FOUND", True)
