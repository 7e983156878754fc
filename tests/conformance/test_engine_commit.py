"""Conformance: units of work, the commit they share, its notes, and the life of an engine."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager

import pytest

from holdfast.refusal import Refusal
from store_service.engines.contract import (
    DeletedNote,
    Engine,
    EventNote,
    ExpiryNote,
    Note,
    QueueNote,
    Reader,
    Transaction,
)
from tests.conformance import samples

DEADLINE_S = 20


@asynccontextmanager
async def busy_writer(engine: Engine) -> AsyncIterator[None]:
    """Keep the engine inside a unit of work, so that further writes have to wait together."""
    begun, go_on = threading.Event(), threading.Event()

    def unit(tx: Transaction) -> None:
        begun.set()
        assert go_on.wait(DEADLINE_S)

    blocking = asyncio.ensure_future(engine.write(unit))
    await asyncio.to_thread(begun.wait, DEADLINE_S)
    try:
        yield
    finally:
        go_on.set()
        await blocking


def setting(key: str, value: str = "set") -> Callable[[Transaction], str]:
    def unit(tx: Transaction) -> str:
        tx.set_meta(key, value)
        return value

    return unit


async def meta(engine: Engine, key: str) -> str | None:
    return await engine.read(lambda tx: tx.meta(key))


async def waiting(*writes: asyncio.Future[object]) -> None:
    """Let the writes reach the engine's queue."""
    await asyncio.sleep(0)
    assert not any(write.done() for write in writes)


async def test_a_unit_sees_what_it_wrote_and_its_value_is_returned(engine: Engine) -> None:
    def unit(tx: Transaction) -> str | None:
        tx.set_meta("key", "value")
        return tx.meta("key")

    assert await engine.write(unit) == "value"


async def test_a_refused_unit_leaves_no_trace(engine: Engine) -> None:
    notes: list[Note] = []
    engine.listen(notes.extend)

    def unit(tx: Transaction) -> None:
        tx.set_meta("key", "value")
        tx.insert_event(samples.event())
        tx.note(ExpiryNote(5))
        raise Refusal("RUN_NOT_FOUND", "no such run")

    with pytest.raises(Refusal, match="no such run") as caught:
        await engine.write(unit)
    assert caught.value.reason == "RUN_NOT_FOUND"
    assert await meta(engine, "key") is None
    assert await engine.read(lambda tx: tx.last_position()) == 0
    assert notes == []
    await engine.write(lambda tx: tx.insert_event(samples.event()))
    assert await engine.read(lambda tx: tx.last_position()) == 1, "it used up no position"


@pytest.mark.usefixtures("waits_are_possible")
@pytest.mark.parametrize("error", [ZeroDivisionError("bug"), StopIteration("bug"), KeyboardInterrupt("bug")])
async def test_a_bug_in_one_unit_is_told_to_its_caller_and_harms_no_other(engine: Engine, error: BaseException) -> None:
    def buggy(tx: Transaction) -> None:
        tx.set_meta("buggy", "value")
        raise error

    async with busy_writer(engine):
        writes = [asyncio.ensure_future(engine.write(unit)) for unit in (setting("a"), setting("b"))]
        failing = asyncio.ensure_future(catch(engine, buggy))
        writes.append(asyncio.ensure_future(engine.write(setting("c"))))
        await waiting(*writes, failing)
    assert await asyncio.gather(*writes) == ["set"] * 3
    told = await failing
    assert told is error or told.__cause__ is error
    assert [await meta(engine, key) for key in ("a", "b", "c", "buggy")] == ["set", "set", "set", None]


async def catch(engine: Engine, unit: Callable[[Transaction], object]) -> BaseException:
    try:
        await engine.write(unit)
    except BaseException as exc:
        return exc
    raise AssertionError("the unit was to raise")


async def test_a_bug_of_sql_leaves_no_trace_either(engine: Engine) -> None:
    def unit(tx: Transaction) -> None:
        tx.set_meta("key", "value")
        tx.insert_event(samples.event(seq=0))

    with pytest.raises(Exception, match="constraint"):
        await engine.write(unit)
    assert await meta(engine, "key") is None


@pytest.mark.usefixtures("waits_are_possible")
async def test_writes_that_wait_together_commit_together(engine: Engine) -> None:
    commits: list[Sequence[Note]] = []
    engine.listen(commits.append)

    def unit(number: int) -> Callable[[Transaction], None]:
        return lambda tx: tx.note(ExpiryNote(number))

    async with busy_writer(engine):
        writes = [asyncio.ensure_future(engine.write(unit(number))) for number in range(100)]
        await waiting(*writes)
    await asyncio.gather(*writes)
    assert [list(notes) for notes in commits] == [[ExpiryNote(number) for number in range(100)]]


async def test_a_unit_sees_the_units_before_it_in_its_batch(engine: Engine) -> None:
    def count(tx: Transaction) -> int:
        number = int(tx.meta("count") or 0) + 1
        tx.set_meta("count", str(number))
        return number

    assert await asyncio.gather(*(engine.write(count) for _ in range(600))) == list(range(1, 601))
    assert await meta(engine, "count") == "600"


async def test_notes_of_every_kind_come_in_commit_order_and_only_of_committed_units(engine: Engine) -> None:
    told: list[Note] = []
    engine.listen(told.extend)
    event = EventNote("run_a", 1, False, frozenset((1,)))
    notes = [event, QueueNote("runs", 0), ExpiryNote(9), DeletedNote("run_a")]

    def noting(note: Note, error: Exception | None = None) -> Callable[[Transaction], None]:
        def unit(tx: Transaction) -> None:
            tx.note(note)
            if error:
                raise error

        return unit

    await asyncio.gather(
        engine.write(noting(notes[0])),
        engine.write(noting(notes[1])),
        catch(engine, noting(QueueNote("refused", 0), Refusal("RUN_NOT_FOUND", "no"))),
        engine.write(noting(notes[2])),
    )
    await engine.write(noting(notes[3]))
    assert told == notes


async def test_a_note_is_told_when_its_commit_can_be_read(engine: Engine) -> None:
    seen: list[asyncio.Future[str | None]] = []
    engine.listen(lambda notes: seen.append(asyncio.ensure_future(meta(engine, "key"))))

    def unit(tx: Transaction) -> None:
        tx.set_meta("key", "value")
        tx.note(ExpiryNote(1))

    await engine.write(unit)
    assert [await future for future in seen] == ["value"]


async def test_a_listener_can_stop_and_one_that_raises_harms_no_other(engine: Engine) -> None:
    told: list[Note] = []
    stopped: list[Note] = []

    def broken(notes: Sequence[Note]) -> None:
        raise ZeroDivisionError

    stop = engine.listen(stopped.extend)
    engine.listen(broken)
    engine.listen(told.extend)
    await engine.write(lambda tx: tx.note(ExpiryNote(1)))
    stop()
    stop()
    await engine.write(lambda tx: tx.note(ExpiryNote(2)))
    assert told == [ExpiryNote(1), ExpiryNote(2)]
    assert stopped == [ExpiryNote(1)]


@pytest.mark.usefixtures("waits_are_possible")
async def test_a_caller_cancelled_while_waiting_takes_its_unit_out_and_disturbs_nobody(engine: Engine) -> None:
    async with busy_writer(engine):
        first, gone, last = (asyncio.ensure_future(engine.write(setting(key))) for key in ("a", "gone", "b"))
        await waiting(first, gone, last)
        gone.cancel()
    assert await asyncio.gather(first, last) == ["set", "set"]
    assert [await meta(engine, key) for key in ("a", "gone", "b")] == ["set", None, "set"]


@pytest.mark.usefixtures("waits_are_possible")
async def test_a_caller_cancelled_during_its_commit_disturbs_nobody(engine: Engine) -> None:
    begun, go_on = threading.Event(), threading.Event()

    def slow(tx: Transaction) -> None:
        begun.set()
        assert go_on.wait(DEADLINE_S)
        tx.set_meta("slow", "set")

    leaving = asyncio.ensure_future(engine.write(slow))
    beside = asyncio.ensure_future(engine.write(setting("beside")))
    await asyncio.to_thread(begun.wait, DEADLINE_S)
    leaving.cancel()
    go_on.set()
    with pytest.raises(asyncio.CancelledError):
        await leaving
    assert await beside == "set"
    assert await engine.write(setting("after")) == "set"
    assert [await meta(engine, key) for key in ("slow", "beside", "after")] == ["set"] * 3


@pytest.mark.usefixtures("waits_are_possible")
async def test_too_many_waiting_writes_are_throttled(database: Callable[..., object]) -> None:
    engine = await database(pending_writes_max=2)
    async with busy_writer(engine):
        writes = [asyncio.ensure_future(engine.write(setting(key))) for key in "ab"]
        await waiting(*writes)
        with pytest.raises(Refusal) as caught:
            await engine.write(setting("c"))
    assert caught.value.reason == "THROTTLED"
    assert caught.value.detail.limit == "pending_writes"
    assert (caught.value.detail.max, caught.value.detail.actual) == (2, 2)
    assert caught.value.retry_after_ms > 0
    await asyncio.gather(*writes)
    assert await meta(engine, "c") is None
    assert await engine.write(setting("c")) == "set"


async def test_a_read_sees_every_acknowledged_write(engine: Engine) -> None:
    for number in range(50):
        await engine.write(setting("key", str(number)))
        assert await asyncio.gather(*(meta(engine, "key") for _ in range(4))) == [str(number)] * 4


@pytest.mark.usefixtures("waits_are_possible")
async def test_a_read_is_of_one_snapshot_and_holds_up_no_write(engine: Engine) -> None:
    begun, go_on = threading.Event(), threading.Event()
    await engine.write(setting("key", "old"))

    def query(tx: Reader) -> list[str | None]:
        first = tx.meta("key")
        begun.set()
        assert go_on.wait(DEADLINE_S)
        return [first, tx.meta("key")]

    reading = asyncio.ensure_future(engine.read(query))
    await asyncio.to_thread(begun.wait, DEADLINE_S)
    await asyncio.wait_for(engine.write(setting("key", "new")), DEADLINE_S)
    go_on.set()
    assert await reading == ["old", "old"]
    assert await meta(engine, "key") == "new"


async def test_a_query_that_raises_leaves_the_reader_usable(engine: Engine) -> None:
    for _ in range(4):
        with pytest.raises(ZeroDivisionError):
            await engine.read(lambda tx: 1 // 0)
    await engine.write(setting("key"))
    assert await meta(engine, "key") == "set"


async def test_an_idle_engine_executes_nothing(engine: Engine) -> None:
    await engine.write(setting("key"))
    before = engine.statements
    assert before > 0
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(asyncio.Event().wait(), 0.3)
    assert engine.statements == before


@pytest.mark.usefixtures("waits_are_possible")
async def test_closing_commits_what_waits_and_a_reopened_database_has_it(
    engine: Engine, database: Callable[..., object]
) -> None:
    writes = [asyncio.ensure_future(engine.write(setting(f"key{number}"))) for number in range(300)]
    await waiting(*writes)
    await asyncio.gather(engine.close(), engine.close())
    assert await asyncio.gather(*writes) == ["set"] * 300
    again = await database()
    assert [await meta(again, key) for key in ("key0", "key299")] == ["set", "set"]


async def test_a_closed_engine_refuses_reads_and_writes(engine: Engine) -> None:
    closing = asyncio.ensure_future(engine.close())
    await asyncio.sleep(0)
    for call in (engine.write(setting("key")), meta(engine, "key")):
        with pytest.raises(Refusal) as caught:
            await call
        assert caught.value.reason == "NOT_READY"
    await closing
    with pytest.raises(Refusal):
        await engine.write(setting("key"))
    await engine.close()
