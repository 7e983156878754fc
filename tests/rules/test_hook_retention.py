"""``min_retention``: the token of a closed hook stays taken for that long, and rebuilding gives the same."""

from __future__ import annotations

from holdfast.v1 import event_pb2
from store_service.engines.contract import TokenRow
from store_service.rules import rebuild
from tests.rules import book as write
from tests.rules.book import Book


async def test_retention_ends_by_the_clock_and_not_before(book: Book) -> None:
    await book.start()
    created = write.hook_created()
    created.hook_created.min_retention.FromMilliseconds(5_000)
    await book.append("run_1", created)
    await book.append("run_1", write.run_completed(), state_seq=3)
    ended_ms = book.now_ms
    await book.start("run_2")
    book.now_ms = ended_ms + 4_999
    refusal = await book.refused("HOOK_TOKEN_CONFLICT", "run_2", write.hook_created())
    assert refusal.metadata["holder_run_id"] == "run_1"
    book.now_ms = ended_ms + 5_000
    done = await book.append("run_2", write.hook_created())
    assert done.events[0].type == event_pb2.EVENT_TYPE_HOOK_CREATED


async def test_a_retained_token_is_derived_from_the_log(book: Book) -> None:
    await book.start()
    created = write.hook_created()
    created.hook_created.min_retention.FromMilliseconds(5_000)
    await book.append("run_1", created)
    await book.append("run_1", write.run_completed(), state_seq=3)
    log = await book.read(lambda reader: rebuild.read_log(reader, "run_1", 4))
    stored = await book.read(lambda reader: reader.token("tok"))
    assert isinstance(stored, TokenRow)
    assert rebuild.derive(log).tokens == [stored]
