"""The sixth law: creating twice is told apart from doing, the first terminal event wins, attempts are named."""

from __future__ import annotations

from functools import partial

import pytest

from holdfast.v1 import entity_pb2, error_pb2, event_pb2
from tests.rules import book as write
from tests.rules.book import NOW, Book
from tests.support import engines


def detail_of(refusal: write.Refusal) -> error_pb2.EntityExists:
    assert isinstance(refusal.detail, error_pb2.EntityExists)
    return refusal.detail


CREATIONS = [write.step_created(), write.hook_created(), write.wait_created()]


@pytest.mark.parametrize("creation", CREATIONS, ids=lambda event: event.correlation_id)
async def test_an_entity_created_again_with_the_same_content_may_be_taken_for_done(
    book: Book, creation: event_pb2.Event
) -> None:
    await book.start()
    await book.append("run_1", creation)
    again = event_pb2.Event()
    again.CopyFrom(creation)
    again.writer, again.trace_context["traceparent"] = "another", "00-2"
    again.occur_time.FromMilliseconds(9)
    refusal = await book.refused("ENTITY_EXISTS", "run_1", write.attributes_set(a="b"), again)
    assert detail_of(refusal) == error_pb2.EntityExists(
        run_id="run_1", correlation_id=creation.correlation_id, created_seq=3, same_content=True, event_index=1
    )


async def test_a_step_created_again_from_another_line_is_the_same(book: Book) -> None:
    await book.start()
    await book.append("run_1", write.step_created(source="app.py:7"))
    refusal = await book.refused("ENTITY_EXISTS", "run_1", write.step_created(source="app.py:9"))
    assert detail_of(refusal).same_content


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (write.step_created(), write.step_created(input=write.text("[2]"))),
        (write.step_created(), write.step_created(step_name="refund")),
        (write.hook_created(), write.hook_created(token="other")),
        (write.wait_created(), write.wait_created(resume_ms=NOW)),
    ],
)
async def test_an_entity_created_again_with_other_content_is_told_so(
    book: Book, first: event_pb2.Event, second: event_pb2.Event
) -> None:
    await book.start()
    await book.append("run_1", first)
    assert not detail_of(await book.refused("ENTITY_EXISTS", "run_1", second)).same_content


async def test_a_run_created_again_is_told_with_or_without_the_same_content(book: Book) -> None:
    await book.start()
    same = await book.refused("RUN_EXISTS", "run_1", write.run_created(), write.run_started())
    other = await book.refused("RUN_EXISTS", "run_1", write.run_created(workflow_name="else"))
    assert (detail_of(same).same_content, detail_of(other).same_content) == (True, False)
    assert detail_of(same).created_seq == 1


async def test_a_run_created_in_the_middle_of_a_batch_is_told_at_its_place(book: Book) -> None:
    await book.start()
    refusal = await book.refused("RUN_EXISTS", "run_1", write.step_created(), write.run_created())
    assert (detail_of(refusal).created_seq, detail_of(refusal).event_index) == (1, 1)
    first = await book.refused("RUN_EXISTS", "run_1", write.run_created())
    assert detail_of(first).event_index == 0


async def test_what_is_created_again_is_compared_with_its_event_or_not_at_all(book: Book) -> None:
    await book.start()
    await book.append("run_1", write.step_created())
    for seq, again in ((3, write.step_created()), (1, write.run_created())):
        await book.write(partial(engines.execute, sql=f"DELETE FROM events WHERE seq = {seq}"))
        assert (await book.refused("CORRUPT_LOG", "run_1", again)).metadata["seq"] == str(seq)


async def test_a_run_started_again_may_be_taken_for_done(book: Book) -> None:
    await book.start()
    refusal = await book.refused("ENTITY_EXISTS", "run_1", write.run_started())
    assert detail_of(refusal) == error_pb2.EntityExists(run_id="run_1", created_seq=2, same_content=True)


async def test_twice_in_one_batch_is_twice(book: Book) -> None:
    await book.start()
    refusal = await book.refused("ENTITY_EXISTS", "run_1", write.step_created(), write.step_created())
    assert (detail_of(refusal).created_seq, detail_of(refusal).event_index) == (3, 1)


async def test_the_first_terminal_event_of_a_step_wins(book: Book) -> None:
    """A late step_started, and a second step_completed with another result, change nothing."""
    await book.start()
    await book.append("run_1", write.step_created(), write.step_started(), write.step_completed(output="1"))
    for late in (write.step_started(), write.step_completed(output="2"), write.step_failed(), write.step_retrying()):
        refusal = await book.refused("ILLEGAL_TRANSITION", "run_1", late)
        assert isinstance(refusal.detail, error_pb2.IllegalTransition)
        assert refusal.detail.current_status == "STEP_STATUS_COMPLETED"
        assert (refusal.detail.current_seq, refusal.detail.correlation_id) == (5, "step_a#1")


async def test_a_step_that_finishes_after_its_run_is_refused_cleanly(book: Book) -> None:
    await book.start()
    await book.append("run_1", write.step_created(), write.step_started(), write.run_completed())
    await book.refused("RUN_TERMINAL", "run_1", write.step_completed())


async def test_an_outcome_belongs_to_the_attempt_it_names(book: Book) -> None:
    await book.start()
    await book.append("run_1", write.step_created(), write.step_started(attempt=1), write.step_started(attempt=2))
    for outcome in (write.step_completed(attempt=1), write.step_failed(attempt=3), write.step_retrying(attempt=1)):
        refusal = await book.refused("ILLEGAL_TRANSITION", "run_1", outcome)
        assert "attempt 2 is running" in refusal.message
    done = await book.append("run_1", write.step_completed())
    assert done.events[0].step_completed.attempt == 2


async def test_attempts_count_starts_one_by_one(book: Book) -> None:
    await book.start()
    await book.append("run_1", write.step_created())
    refusal = await book.refused("ILLEGAL_TRANSITION", "run_1", write.step_started(attempt=2))
    assert "attempt 1 is next" in refusal.message
    lost = await book.append("run_1", write.step_started(attempt=1), write.step_started(attempt=2))
    retried = await book.append("run_1", write.step_retrying(attempt=2), write.step_started())
    assert isinstance(lost.entities[1], entity_pb2.Step)
    assert lost.entities[1].attempt == 2
    assert retried.events[1].step_started.attempt == 3


async def test_a_retry_starts_at_its_time_and_not_a_millisecond_before(book: Book) -> None:
    await book.start()
    await book.append("run_1", write.step_created(), write.step_started(), write.step_retrying(retry_ms=NOW + 10))
    book.now_ms = NOW + 9
    refusal = await book.refused("RETRY_TOO_EARLY", "run_1", write.step_started())
    assert isinstance(refusal.detail, error_pb2.RetryTooEarly)
    assert refusal.detail.retry_time.ToMilliseconds() == NOW + 10
    assert (refusal.metadata["wait_ms"], refusal.retry_after_ms) == ("1", 1)
    book.now_ms = NOW + 10
    step = (await book.append("run_1", write.step_started())).entities[0]
    assert isinstance(step, entity_pb2.Step)
    assert not step.HasField("retry_time") and not step.HasField("failure")


@pytest.mark.parametrize(
    "event",
    [
        write.step_started(),
        write.step_completed(),
        write.hook_received(),
        write.hook_disposed(),
        write.wait_completed(),
    ],
    ids=lambda event: event.WhichOneof("attributes"),
)
async def test_what_was_never_created_is_not_found(book: Book, event: event_pb2.Event) -> None:
    await book.start()
    await book.refused("ENTITY_NOT_FOUND", "run_1", event)


async def test_a_conflict_is_never_taken_from_a_client(book: Book) -> None:
    await book.start()
    conflict = event_pb2.Event(correlation_id="hook_#1", hook_conflict=event_pb2.HookConflict(token="tok"))
    await book.refused("INVALID_FIELD", "run_1", conflict)


async def test_every_refusal_names_its_numbers_in_the_metadata(book: Book) -> None:
    await book.start()
    await book.append("run_1", write.step_created())
    refusal = await book.refused("ILLEGAL_TRANSITION", "run_1", write.step_completed())
    assert refusal.metadata == {
        "run_id": "run_1",
        "correlation_id": "step_a#1",
        "current_seq": "3",
        "current_status": "STEP_STATUS_PENDING",
        "attempted": "step_completed",
    }


async def test_a_step_that_waits_for_its_retry_is_pending_again(book: Book) -> None:
    await book.start()
    done = await book.append(
        "run_1", write.step_created(), write.step_started(), write.step_retrying(retry_ms=NOW + 10)
    )
    step = done.entities[-1]
    assert isinstance(step, entity_pb2.Step)
    assert (step.status, step.attempt) == (entity_pb2.STEP_STATUS_PENDING, 1)
    assert step.retry_time.ToMilliseconds() == NOW + 10


async def test_an_entity_that_exists_is_told_with_what_to_do(book: Book) -> None:
    await book.start()
    await book.append("run_1", write.step_created())
    same = await book.refused("ENTITY_EXISTS", "run_1", write.step_created())
    other = await book.refused("ENTITY_EXISTS", "run_1", write.step_created(input=write.text("7")))
    assert "take it for done" in same.message
    assert "use another id" in other.message
