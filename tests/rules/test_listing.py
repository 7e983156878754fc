"""Reads of runs, steps, hooks and waits: found, filtered, paged, and filled from the events."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from google.protobuf.message import Message

from holdfast.refusal import Refusal
from holdfast.v1 import entity_pb2, payload_pb2
from holdfast.v1 import store_service_pb2 as api
from store_service.rules import clock, listing
from tests.rules import book as write
from tests.rules.book import NOW, Book

Read = Callable[[Any, Any], Any]
STORED = payload_pb2.PAYLOAD_VIEW_STORED


async def ask(book: Book, read: Read, request: Message) -> Any:
    return await book.read(lambda reader: read(reader, request))


async def all_pages(book: Book, read: Read, request: Any, field: str) -> list[list[Any]]:
    pages = []
    while True:
        response = await ask(book, read, request)
        pages.append(list(getattr(response, field)))
        request.page_token = response.next_page_token
        if not request.page_token:
            return pages


async def test_a_run_shows_input_output_and_guard(book: Book) -> None:
    await book.start(input=write.text("[1]"), timeout={"seconds": 5}, version="7", parent_run_id="run_0")
    await book.append("run_1", write.run_completed('"done"'))
    run = (await ask(book, listing.get_run, api.GetRunRequest(run_id="run_1"))).run
    assert (run.input.text, run.output.text, run.status) == ("[1]", '"done"', entity_pb2.RUN_STATUS_COMPLETED)
    assert (run.version, run.parent_run_id) == ("7", "run_0")
    assert not run.HasField("expire_time")
    assert (run.guard.head_seq, run.guard.head_at) == (3, NOW + 2)
    omitted = payload_pb2.PAYLOAD_VIEW_OMITTED
    run = (await ask(book, listing.get_run, api.GetRunRequest(run_id="run_1", view=omitted))).run
    assert (run.output.size_bytes, run.output.text) == (6, "")


async def test_a_failed_run_shows_its_failure_and_a_pending_one_its_expiry(book: Book) -> None:
    created = await book.append("run_1", write.run_created(timeout={"seconds": 5}))
    assert created.run.expire_time.ToMilliseconds() == NOW + 5000
    await book.append("run_1", write.run_started(), write.run_failed("boom"))
    run = (await ask(book, listing.get_run, api.GetRunRequest(run_id="run_1"))).run
    assert run.failure.message == "boom"


async def test_a_step_shows_what_its_events_brought(book: Book) -> None:
    await book.start()
    await book.append("run_1", write.step_created(), write.step_started(), write.step_retrying())
    request = api.GetStepRequest(run_id="run_1", step_id="step_a#1")
    retrying = (await ask(book, listing.get_step, request)).step
    assert (retrying.input.text, retrying.failure.details.text) == ("[1]", "[3]")
    assert retrying.HasField("retry_time")
    await book.append("run_1", write.step_started())
    running = (await ask(book, listing.get_step, request)).step
    assert running.start_time.ToMilliseconds() == NOW
    assert not running.HasField("failure") and not running.HasField("output")
    await book.append("run_1", write.step_completed(output='"ok"'))
    done = (await ask(book, listing.get_step, request)).step
    assert (done.output.text, done.attempt, done.status) == ('"ok"', 2, entity_pb2.STEP_STATUS_COMPLETED)


async def test_a_step_cut_off_by_the_end_of_its_run_shows_no_output(book: Book) -> None:
    await book.start()
    await book.append("run_1", write.step_created(), write.step_started(), write.run_completed("7"))
    step = (await ask(book, listing.get_step, api.GetStepRequest(run_id="run_1", step_id="step_a#1"))).step
    assert step.status == entity_pb2.STEP_STATUS_CANCELLED
    assert not step.HasField("output") and step.input.text == "[1]"


async def test_runs_are_filtered_and_paged_newest_first(book: Book) -> None:
    for number in range(5):
        book.now_ms = NOW + number
        await book.append(f"run_{number}", write.run_created(attributes={"team": "ab"[number % 2]}))
    pages = await all_pages(book, listing.list_runs, api.ListRunsRequest(page_size=2), "runs")
    assert [[run.run_id for run in page] for page in pages] == [["run_4", "run_3"], ["run_2", "run_1"], ["run_0"]]
    request = api.ListRunsRequest(attributes={"team": "a"}, order=entity_pb2.SORT_ORDER_ASCENDING, page_size=2)
    pages = await all_pages(book, listing.list_runs, request, "runs")
    assert [[run.run_id for run in page] for page in pages] == [["run_0", "run_2"], ["run_4"]]
    bounded = api.ListRunsRequest(create_time_from=clock.to_timestamp(NOW + 1))
    bounded.create_time_until.CopyFrom(clock.to_timestamp(NOW + 3))
    assert [run.run_id for run in (await ask(book, listing.list_runs, bounded)).runs] == ["run_2", "run_1"]


async def test_a_page_token_belongs_to_its_filter(book: Book) -> None:
    for number in range(3):
        await book.append(f"run_{number}", write.run_created())
    token = (await ask(book, listing.list_runs, api.ListRunsRequest(page_size=1))).next_page_token
    bigger = api.ListRunsRequest(page_size=9, page_token=token, view=STORED)
    assert len((await ask(book, listing.list_runs, bigger)).runs) == 2, "size and view may change"
    for request in (
        api.ListRunsRequest(page_token=token, workflow_name="other"),
        api.ListRunsRequest(page_token=token + "A"),
        api.ListRunsRequest(page_token="nonsense!"),
        api.ListRunsRequest(page_token="ümlaut"),
    ):
        with pytest.raises(Refusal) as caught:
            await ask(book, listing.list_runs, request)
        assert caught.value.reason == "INVALID_CURSOR"


async def test_entities_of_a_run_are_paged_in_order_of_creation(book: Book) -> None:
    await book.start()
    names = [f"step_{letter}#1" for letter in "dbca"]
    await book.append("run_1", *(write.step_created(name) for name in names))
    request = api.ListStepsRequest(run_id="run_1", page_size=3, view=STORED)
    pages = await all_pages(book, listing.list_steps, request, "steps")
    assert [[step.step_id for step in page] for page in pages] == [names[:3], names[3:]]
    assert pages[0][0].input.text == "[1]"


async def test_hooks_and_waits_are_paged_over_all_runs(book: Book) -> None:
    for number in (2, 1, 3):
        book.now_ms += 10
        run_id = f"run_{number}"
        resume_ms = NOW + 1000 * number
        await book.append(run_id, write.run_created(), write.run_started())
        await book.append(run_id, write.hook_created(token=run_id), write.wait_created(resume_ms=resume_ms))
        await book.append(run_id, write.hook_received())
    hooks = await all_pages(book, listing.list_hooks, api.ListHooksRequest(page_size=1), "hooks")
    waits = await all_pages(book, listing.list_waits, api.ListWaitsRequest(page_size=1), "waits")
    assert [hook.run_id for page in hooks for hook in page] == ["run_2", "run_1", "run_3"]
    assert [wait.run_id for page in waits for wait in page] == ["run_1", "run_2", "run_3"]
    due = api.ListWaitsRequest(resume_time_until=clock.to_timestamp(NOW + 2000))
    assert [wait.run_id for wait in (await ask(book, listing.list_waits, due)).waits] == ["run_1"]


async def test_a_hook_is_found_by_reference_always_and_by_token_while_open(book: Book) -> None:
    await book.start()
    await book.append("run_1", write.hook_created(metadata=write.text('"m"'), payload_schema="{}"))
    by_token = api.GetHookRequest(token="tok")
    by_ref = api.GetHookRequest(ref=api.HookRef(run_id="run_1", hook_id="hook_#1"))
    hook = (await ask(book, listing.get_hook, by_token)).hook
    assert (hook.hook_id, hook.metadata.text, hook.payload_schema) == ("hook_#1", '"m"', "{}")
    await book.append("run_1", write.hook_disposed())
    assert (await ask(book, listing.get_hook, by_ref)).hook.status == entity_pb2.HOOK_STATUS_DISPOSED
    with pytest.raises(Refusal) as caught:
        await ask(book, listing.get_hook, by_token)
    assert caught.value.reason == "ENTITY_NOT_FOUND"


@pytest.mark.parametrize(
    ("read", "request_"),
    [
        (listing.get_step, api.GetStepRequest(run_id="run_1", step_id="step_x#1")),
        (listing.get_hook, api.GetHookRequest(ref=api.HookRef(run_id="run_1", hook_id="hook_x#1"))),
        (listing.get_wait, api.GetWaitRequest(run_id="run_1", wait_id="wait_x#1")),
    ],
)
async def test_what_is_missing_is_told_apart_from_a_missing_run(book: Book, read: Read, request_: Any) -> None:
    with pytest.raises(Refusal) as caught:
        await ask(book, read, request_)
    assert caught.value.reason == "RUN_NOT_FOUND"
    await book.start()
    with pytest.raises(Refusal) as caught:
        await ask(book, read, request_)
    assert caught.value.reason == "ENTITY_NOT_FOUND"


async def test_a_wait_shows_when_it_fired_and_only_then(book: Book) -> None:
    await book.start()
    await book.append("run_1", write.wait_created(), write.wait_created("wait_#2"), write.wait_completed())
    await book.append("run_1", write.run_completed())
    fired = (await ask(book, listing.get_wait, api.GetWaitRequest(run_id="run_1", wait_id="wait_#1"))).wait
    cut = (await ask(book, listing.get_wait, api.GetWaitRequest(run_id="run_1", wait_id="wait_#2"))).wait
    assert (fired.status, fired.HasField("complete_time")) == (entity_pb2.WAIT_STATUS_COMPLETED, True)
    assert (cut.status, cut.HasField("complete_time")) == (entity_pb2.WAIT_STATUS_CANCELLED, False)


@pytest.mark.parametrize(
    ("read", "request_of"),
    [
        (listing.list_steps, api.ListStepsRequest),
        (listing.list_hooks, api.ListHooksRequest),
        (listing.list_waits, api.ListWaitsRequest),
    ],
)
async def test_a_list_of_an_unknown_run_is_not_an_empty_one(book: Book, read: Read, request_of: Any) -> None:
    with pytest.raises(Refusal) as caught:
        await ask(book, read, request_of(run_id="run_of_nobody"))
    assert caught.value.reason == "RUN_NOT_FOUND"
