"""Whatever changes in what is in no log is found: a chunk, a message, a remembered request; by reader and by audit.

Each case changes stored bytes behind the store's back, as a disk or a hand would, on each engine.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from holdfast.refusal import Refusal
from holdfast.v1 import payload_pb2, queue_service_pb2, store_service_pb2
from store_service.engines.contract import MessageRow
from store_service.rules import leases, queue, queue_reading, reading, streams
from store_service.rules.audit import audit_runs
from store_service.rules.audit_rows import messages_of_queues
from store_service.rules.stream_reading import StreamPlace
from store_service.rules.streams import StreamAppend
from tests.rules import book as write
from tests.rules.book import NOW, Book
from tests.support import engines

STORED = payload_pb2.PAYLOAD_VIEW_STORED


async def execute(book: Book, sql: str, *parameters: object) -> None:
    await book.write(lambda tx: engines.execute(tx, sql, *parameters))


async def corrupt(reading_it: Any) -> Refusal:
    with pytest.raises(Refusal) as caught:
        await reading_it
    assert caught.value.reason == "CORRUPT_LOG"
    return caught.value


# --- chunks of streams ------------------------------------------------------------------------------------------------

#: What happens to the second of three chunks, and what is told of which.
DAMAGES: dict[str, tuple[str, tuple[object, ...], str]] = {
    "another bit": ("""UPDATE chunks SET data = ? WHERE "index" = 1""", (b"twp",), "chunk 1 is not what was written"),
    "another length": ("""UPDATE chunks SET data = ? WHERE "index" = 1""", (b"tw",), "chunk 1 is not what was written"),
    "another checksum": (
        """UPDATE chunks SET checksum = ? WHERE "index" = 1""",
        (bytes(8),),
        "chunk 1 is not what was written",
    ),
    "another author": (
        "UPDATE stream_writers SET writer_id = ?, step_run_id = ?, step_id = ?, attempt = 1",
        ("w", "run_1", "step_forged#1"),
        "chunk 0 is not what was written",
    ),
    "in another stream": ("UPDATE streams SET name = ?", ("tokens",), "chunk 0 is not what was written"),
    "lost": ("""DELETE FROM chunks WHERE "index" = 1""", (), "chunk 1 is missing; 2 follows"),
    "a lost end": ("""DELETE FROM chunks WHERE "index" > 0""", (), "chunk 1 is missing at the end"),
}


async def three_chunks(book: Book) -> None:
    await book.start()
    for chunk in (b"one", b"two", b"three"):
        await book.write(lambda tx, chunk=chunk: streams.append(tx, StreamAppend("run_1", "words", (chunk,)), NOW))


async def read_stream(book: Book, *, is_final: bool, bytes_max: int, name: str = "words") -> list[bytes]:
    """Read a stream in portions, from its first chunk to its end."""
    place = StreamPlace("run_1", name, is_final=is_final, tells_resets=not is_final)
    found: list[bytes] = []

    def portion(reader: Any) -> Any:
        return place.read(reader, bytes_max)

    for _ in range(20):
        read = await book.read(portion)
        found += [item.what.data for item in read.items]
        if read.is_at_end:
            return found
    raise AssertionError(f"a reader waits for ever for what is not there, after {found}")


async def findings(book: Book) -> list[str]:
    return [text for audited in await book.read(lambda reader: list(audit_runs(reader))) for text in audited.findings]


@pytest.mark.parametrize("is_final", [False, True])
@pytest.mark.parametrize("bytes_max", [1, 1000])
@pytest.mark.parametrize("damage", DAMAGES)
async def test_no_reader_gets_a_chunk_that_is_not_what_was_written(
    book: Book, damage: str, bytes_max: int, is_final: bool
) -> None:
    await three_chunks(book)
    assert await read_stream(book, is_final=is_final, bytes_max=bytes_max) == [b"one", b"two", b"three"]
    assert await findings(book) == []
    sql, parameters, told = DAMAGES[damage]
    await execute(book, sql, *parameters)
    name = "tokens" if damage == "in another stream" else "words"
    refusal = await corrupt(read_stream(book, is_final=is_final, bytes_max=bytes_max, name=name))
    assert told in refusal.message
    assert refusal.metadata["run_id"] == "run_1"
    assert any(told in text for text in await findings(book))


async def test_an_audit_counts_the_bytes_of_a_stream(book: Book) -> None:
    await three_chunks(book)
    await execute(book, "UPDATE streams SET size_bytes = 12")
    assert any("it says that it has 3 chunks with 12 bytes; it has 3 with 11" in it for it in await findings(book))


async def test_a_chunk_of_a_version_without_checksums_is_taken_as_it_is(book: Book) -> None:
    await three_chunks(book)
    await execute(book, "UPDATE chunks SET checksum = ?", b"")
    assert await read_stream(book, is_final=False, bytes_max=1000) == [b"one", b"two", b"three"]
    assert await findings(book) == []


# --- messages of queues -----------------------------------------------------------------------------------------------


def another_bit(row: MessageRow) -> MessageRow:
    """Change one letter of the payload, so that it is still a message."""
    assert row.body.count(b"hello") == 1
    return replace(row, body=row.body.replace(b"hello", b"jello"))


CHANGES: dict[str, Callable[[MessageRow], MessageRow]] = {
    "another bit": another_bit,
    "no message at all": lambda row: replace(row, body=b"\xff"),
    "nothing": lambda row: replace(row, body=b""),
    "another checksum": lambda row: replace(row, checksum=bytes(8)),
}


async def sent(book: Book, text: str = "hello", group: str = "") -> str:
    message = queue_service_pb2.NewQueueMessage(queue="mail", group=group)
    message.payload.text = f'"{text}"'
    found: str = (await book.write(lambda tx: queue.enqueue(tx, message, NOW)))[0]
    return found


async def change(book: Book, message_id: str, by: Callable[[MessageRow], MessageRow]) -> None:
    await book.write(lambda tx: tx.put_message(by(tx.message(message_id))))


async def claimed(book: Book, limit: int = 10) -> list[str]:
    leased = await book.write(lambda tx: queue.claim(tx, ["mail"], limit, 30_000, NOW))
    return [it.message.payload.text.strip('"') for it in leased]


def page(reader: Any) -> Any:
    return queue_reading.list_messages(reader, queue_reading.Page("mail", 0, 10, (), "", STORED), NOW)


@pytest.mark.parametrize("limit", [1, 10])
@pytest.mark.parametrize("kind", CHANGES)
async def test_a_message_that_is_not_what_was_sent_is_set_aside_and_the_queue_goes_on(
    book: Book, kind: str, limit: int
) -> None:
    broken = await sent(book)
    await sent(book, "next")
    await change(book, broken, CHANGES[kind])
    assert await claimed(book, limit) == ["next"]
    row = await book.read(lambda reader: reader.message(broken))
    assert (row.state, row.last_reason) == (queue.DEAD, "not what was sent: its checksum differs")
    assert (await corrupt(book.read(page))).metadata == {"message_id": broken, "queue": "mail"}
    ((name, told),) = await book.read(lambda reader: list(messages_of_queues(reader)))
    assert (name, broken in told) == ("mail", True)


async def test_a_broken_message_holds_up_nobody_of_its_group(book: Book) -> None:
    broken = await sent(book, group="run_1")
    await sent(book, "next", group="run_1")
    await change(book, broken, another_bit)
    assert await claimed(book) == ["next"]


async def test_a_queue_that_holds_broken_messages_only_hands_out_none(book: Book) -> None:
    for _ in range(3):
        await change(book, await sent(book), another_bit)
    assert await claimed(book) == []


async def test_what_a_consumer_says_is_kept_and_covered_too(book: Book) -> None:
    await sent(book)
    (leased,) = await book.write(lambda tx: queue.claim(tx, ["mail"], 1, 30_000, NOW))
    said = payload_pb2.Payload(text='"half"')
    await book.write(lambda tx: leases.extend_many(tx, [leased.receipt], None, NOW, said))
    found, _ = await book.read(page)
    assert found[0].progress.text == '"half"'
    await change(book, leased.message.message_id, lambda row: replace(row, body=row.body.replace(b"half", b"calf")))
    await corrupt(book.read(page))
    await corrupt(book.write(lambda tx: leases.extend_many(tx, [leased.receipt], None, NOW, said)))


async def test_a_message_in_the_place_of_another_is_found(book: Book) -> None:
    first, second = await sent(book, "one"), await sent(book, "two")
    other = await book.read(lambda reader: reader.message(second))
    await change(book, first, lambda row: replace(row, body=other.body, checksum=other.checksum))
    assert await claimed(book) == ["two"]


async def test_a_message_of_a_version_without_checksums_is_taken_as_it_is(book: Book) -> None:
    await change(book, await sent(book), lambda row: replace(row, checksum=b""))
    assert await claimed(book) == ["hello"]


# --- remembered requests ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("column", "value"),
    [("first_seq", 2), ("last_seq", 4), ("run_id", "run_2"), ("message_ids", "[]"), ("digest", bytes(32))],
)
async def test_a_repeat_never_gets_another_answer_than_the_first(book: Book, column: str, value: object) -> None:
    await book.start()
    request: dict[str, Any] = {"request_id": "req-1", "messages": [write.message()]}
    await book.append("run_1", write.attributes_set(a="1"), **request)
    assert (await book.append("run_1", write.attributes_set(a="1"), **request)).deduplicated
    await execute(book, f"UPDATE requests SET {column} = ?", value)
    refusal = await book.refused("CORRUPT_LOG", "run_1", write.attributes_set(a="1"), **request)
    assert refusal.metadata["request_id"] == "req-1"
    asked = store_service_pb2.GetEventRequest(request_id="req-1")
    await corrupt(book.read(lambda reader: reading.get_event(reader, asked)))


async def test_a_request_of_a_version_without_checksums_is_taken_as_it_is(book: Book) -> None:
    await book.start()
    await book.append("run_1", write.attributes_set(a="1"), request_id="req-1")
    await execute(book, "UPDATE requests SET checksum = ?", b"")
    assert (await book.append("run_1", write.attributes_set(a="1"), request_id="req-1")).deduplicated
