"""A hook token belongs to one open hook of the store, and the log says for ever how a race for it ended."""

from __future__ import annotations

import asyncio

from holdfast.v1 import entity_pb2, error_pb2, event_pb2
from store_service.rules.append import Appended
from tests.rules import book as write
from tests.rules.book import Book

RECORD = event_pb2.HOOK_CONFLICT_POLICY_RECORD
FAIL = event_pb2.HOOK_CONFLICT_POLICY_FAIL


async def test_an_empty_token_is_made_by_the_store_and_asking_again_is_the_same(book: Book) -> None:
    await book.start()
    made = (await book.append("run_1", write.hook_created(token=""))).events[0].hook_created.token
    assert len(made) >= 24
    refusal = await book.refused("ENTITY_EXISTS", "run_1", write.hook_created(token=""))
    assert isinstance(refusal.detail, error_pb2.EntityExists)
    assert refusal.detail.same_content


async def test_a_taken_token_is_refused_to_the_outside_and_recorded_for_a_replay(book: Book) -> None:
    await book.start()
    await book.start("run_2")
    await book.append("run_1", write.hook_created())
    refusal = await book.refused("HOOK_TOKEN_CONFLICT", "run_2", write.hook_created("hook_b#1"))
    assert refusal.detail == error_pb2.HookTokenConflict(token="tok", holder_run_id="run_1", holder_hook_id="hook_#1")
    done = await book.append("run_2", write.hook_created("hook_b#1"), state_seq=2)
    event, hook = done.events[0], done.entities[0]
    assert event.type == event_pb2.EVENT_TYPE_HOOK_CONFLICT
    assert event.hook_conflict == event_pb2.HookConflict(token="tok", holder_run_id="run_1", holder_hook_id="hook_#1")
    assert isinstance(hook, entity_pb2.Hook)
    assert hook.status == entity_pb2.HOOK_STATUS_CONFLICTED
    await book.refused("ILLEGAL_TRANSITION", "run_2", write.hook_received("hook_b#1"))


async def test_the_policy_that_is_asked_for_counts_whoever_asks(book: Book) -> None:
    await book.start()
    await book.append("run_1", write.hook_created())
    await book.refused("HOOK_TOKEN_CONFLICT", "run_1", write.hook_created("hook_#2", conflict_policy=FAIL), state_seq=3)
    done = await book.append("run_1", write.hook_created("hook_#2", conflict_policy=RECORD))
    assert done.events[0].type == event_pb2.EVENT_TYPE_HOOK_CONFLICT


async def test_a_recorded_conflict_asked_for_again_is_the_same(book: Book) -> None:
    await book.start()
    await book.append("run_1", write.hook_created(), write.hook_created("hook_#2"), state_seq=2)
    refusal = await book.refused("ENTITY_EXISTS", "run_1", write.hook_created("hook_#2"), state_seq=4)
    assert isinstance(refusal.detail, error_pb2.EntityExists)
    assert refusal.detail.same_content


async def test_of_two_runs_that_claim_a_token_exactly_one_wins(book: Book) -> None:
    runs = [f"run_{number}" for number in range(8)]
    for run_id in runs:
        await book.start(run_id)

    def claim(run_id: str) -> asyncio.Task[Appended]:
        return asyncio.create_task(book.append(run_id, write.hook_created(), state_seq=2))

    done = await asyncio.gather(*map(claim, runs))
    types = [appended.events[0].type for appended in done]
    winners = [run_id for run_id, kind in zip(runs, types, strict=True) if kind == event_pb2.EVENT_TYPE_HOOK_CREATED]
    holder = await book.read(lambda reader: reader.token("tok"))
    assert holder is not None and winners == [holder.run_id]
    assert types.count(event_pb2.EVENT_TYPE_HOOK_CONFLICT) == len(runs) - 1


async def test_a_token_passes_from_one_run_to_the_next_at_once(book: Book) -> None:
    await book.start()
    await book.start("run_2")
    await book.append("run_1", write.hook_created())
    await book.append("run_1", write.run_completed())
    done = await book.append("run_2", write.hook_created(conflict_policy=FAIL))
    assert done.events[0].type == event_pb2.EVENT_TYPE_HOOK_CREATED


async def test_a_token_passes_within_one_batch(book: Book) -> None:
    await book.start()
    await book.append("run_1", write.hook_created())
    await book.append("run_1", write.hook_disposed(), write.hook_created("hook_#2", conflict_policy=FAIL))
    holder = await book.read(lambda reader: reader.token("tok"))
    assert holder is not None and holder.hook_id == "hook_#2"


async def test_a_value_never_stands_in_the_log_after_the_close(book: Book) -> None:
    await book.start()
    await book.append("run_1", write.hook_created(), write.hook_disposed())
    refusal = await book.refused("ILLEGAL_TRANSITION", "run_1", write.hook_received())
    assert isinstance(refusal.detail, error_pb2.IllegalTransition)
    assert refusal.detail.current_status == "HOOK_STATUS_DISPOSED"
    await book.append("run_1", write.hook_created("hook_#2"), write.run_completed())
    await book.refused("RUN_TERMINAL", "run_1", write.hook_received("hook_#2"))


async def test_values_are_kept_in_order_before_anyone_awaits_them(book: Book) -> None:
    await book.start()
    await book.append("run_1", write.hook_created())
    for number in range(3):
        done = await book.append("run_1", write.hook_received(payload=str(number)))
    log = await book.read(lambda reader: reader.events("run_1", limit=9, entity_id="hook_#1"))
    texts = [event_pb2.Event.FromString(row.body).hook_received.payload.text for row in log[1:]]
    assert texts == ["0", "1", "2"]
    assert isinstance(done.entities[0], entity_pb2.Hook)
    assert done.entities[0].received_count == 3
