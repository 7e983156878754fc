"""A session carries the same calls as the unary methods: same answers, same errors, shared messages and commits."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import grpc
import grpc.aio
import pytest
from google.rpc import error_details_pb2, status_pb2
from structlog.testing import capture_logs

from holdfast.v1 import event_pb2, payload_pb2, session_service_pb2, store_service_pb2
from store_service.api.services import QueueService, StoreService, session_methods
from tests.support.store import DEADLINE_SECONDS, Store, create_run, eventually

Request = session_service_pb2.OpenSessionRequest
Call = session_service_pb2.SessionCall


class Line:
    """A session as a client in any language would hold it."""

    def __init__(self, stream: Any) -> None:
        self.stream = stream
        self.messages = 0

    async def send(self, *calls: Call) -> None:
        await self.stream.write(Request(calls=calls))

    async def answers(self, count: int) -> dict[int, session_service_pb2.SessionAnswer]:
        found: dict[int, session_service_pb2.SessionAnswer] = {}
        async with asyncio.timeout(DEADLINE_SECONDS):
            while len(found) < count:
                message = await self.stream.read()
                assert message is not grpc.aio.EOF, "the session ended before the last answer"
                self.messages += 1
                found.update({answer.call_id: answer for answer in message.answers})
        return found


@asynccontextmanager
async def session(store: Store) -> AsyncIterator[Line]:
    stream = store.client.session.OpenSession()
    first = await stream.read()
    assert first.opened.HasField("server_time")
    try:
        yield Line(stream)
    finally:
        stream.cancel()


def start(call_id: int, run_id: str) -> Call:
    created = event_pb2.Event(run_created=event_pb2.RunCreated(workflow_name="orders"))
    request = store_service_pb2.CreateEventRequest(run_id=run_id, event=created)
    return Call(call_id=call_id, create_event=request)


def status_of(answer: session_service_pb2.SessionAnswer) -> tuple[int, str]:
    status = status_pb2.Status.FromString(answer.failure)
    info = error_details_pb2.ErrorInfo()
    assert any(detail.Unpack(info) for detail in status.details)
    return status.code, info.reason


def test_every_call_of_a_session_has_its_method_and_its_answer(store: Store) -> None:
    arms = {field.name: field.message_type for field in Call.DESCRIPTOR.oneofs_by_name["request"].fields}
    answer = session_service_pb2.SessionAnswer.DESCRIPTOR.oneofs_by_name["outcome"]
    answers = {field.name: field.message_type for field in answer.fields if field.name != "failure"}
    methods = session_methods(StoreService(store.running.parts), QueueService(store.running.parts))
    assert arms.keys() == answers.keys() == methods.keys()
    for name, request in arms.items():
        assert request.name.removesuffix("Request") == answers[name].name.removesuffix("Response")
        assert methods[name].__name__ == request.name.removesuffix("Request")


async def test_calls_of_one_message_share_a_commit_and_their_answers_share_messages(store: Store) -> None:
    async with session(store) as line:
        commits: list[int] = []
        stop = store.engine.listen(lambda notes: commits.append(len(notes)))
        await line.send(*(start(number, f"run_shared_{number}") for number in range(1, 101)))
        answers = await line.answers(100)
        stop()
    assert {answers[number].create_event.event.seq for number in answers} == {1}
    assert len(commits) <= 3, "calls that came together were committed apart"
    assert line.messages <= 10, "answers that were ready together went out apart"


async def test_a_session_says_what_the_unary_call_says(store: Store) -> None:
    run = (await create_run(store.client)).run
    seen = store_service_pb2.GetRunRequest(run_id=run.run_id)
    missing = store_service_pb2.GetRunRequest(run_id="run_that_never_was")
    listed = store_service_pb2.ListEventsRequest(run_id=run.run_id)
    async with session(store) as line:
        await line.send(
            Call(call_id=1, get_run=seen), Call(call_id=2, get_run=missing), Call(call_id=3, list_events=listed)
        )
        answers = await line.answers(3)
    assert answers[1].get_run == await store.client.events.GetRun(seen)
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await store.client.events.GetRun(missing)
    trailers = dict(refused.value.trailing_metadata())
    assert answers[2].failure == trailers["grpc-status-details-bin"]
    assert answers[3].list_events.events[0].run_id == run.run_id


async def test_a_stale_decision_is_refused_in_a_session_and_the_session_goes_on(store: Store) -> None:
    run = (await create_run(store.client)).run
    cancel = event_pb2.Event(run_cancel_requested=event_pb2.RunCancelRequested(reason="from outside"))
    await store.client.events.CreateEvent(store_service_pb2.CreateEventRequest(run_id=run.run_id, event=cancel))
    waits = event_pb2.Event(correlation_id="wait_1", wait_created=event_pb2.WaitCreated())
    waits.wait_created.resume_time.FromMilliseconds(4_000_000_000_000)
    stale = store_service_pb2.CreateEventsRequest(run_id=run.run_id, events=[waits], state_updated_at=1)
    async with session(store) as line:
        await line.send(Call(call_id=7, create_events=stale))
        code, reason = status_of((await line.answers(1))[7])
        assert (code, reason) == (grpc.StatusCode.FAILED_PRECONDITION.value[0], "STALE_SNAPSHOT")
        await line.send(start(8, "run_after_the_refusal"))
        assert (await line.answers(1))[8].create_event.event.seq == 1


async def test_a_call_without_a_request_is_refused_alone(store: Store) -> None:
    async with session(store) as line:
        await line.send(Call(call_id=1), start(2, "run_beside_an_empty_call"))
        answers = await line.answers(2)
    assert status_of(answers[1])[1] == "INVALID_FIELD"
    assert answers[2].create_event.run.run_id == "run_beside_an_empty_call"


async def test_a_client_that_has_no_more_calls_still_gets_its_answers(store: Store) -> None:
    async with session(store) as line:
        await line.send(*(start(number, f"run_last_{number}") for number in range(1, 21)))
        await line.stream.done_writing()
        assert len(await line.answers(20)) == 20
        assert await line.stream.read() is grpc.aio.EOF
        assert await line.stream.code() is grpc.StatusCode.OK


async def test_a_draining_store_answers_what_it_read_and_ends_the_session_well(store: Store) -> None:
    async with session(store) as line:
        await line.send(start(1, "run_before_the_drain"))
        await line.answers(1)
        draining = asyncio.create_task(store.running.drain())
        async with asyncio.timeout(DEADLINE_SECONDS):
            assert await line.stream.read() is grpc.aio.EOF
            assert await line.stream.code() is grpc.StatusCode.OK
            await draining


async def test_more_calls_than_a_session_may_have_open_are_all_answered(store: Store) -> None:
    read = store_service_pb2.GetRunRequest(run_id=(await create_run(store.client)).run.run_id)
    async with session(store) as line:
        for thousand in range(3):
            await line.send(*(Call(call_id=thousand * 1_000 + number, get_run=read) for number in range(1_000)))
        assert len(await line.answers(3_000)) == 3_000


async def test_a_client_that_reads_no_answers_is_not_read_for_ever(store: Store) -> None:
    """What it asked for would fill the memory of the store: 50 KB for every call."""
    async with session(store) as line:
        await ask_for_much(store, line)
        done = await at_rest(store)
        # Each call takes more than two statements; what fits on the way to the client is answered too.
        assert done < CALLS, "everything was carried out although no answer was read"


async def test_a_client_that_leaves_with_answers_unread_is_no_bug_of_the_store(store: Store) -> None:
    with capture_logs() as logged:
        async with session(store) as line:
            await ask_for_much(store, line)
            await at_rest(store)
        await eventually(lambda: not store.running.parts.streams._open)
    assert [entry for entry in logged if entry["log_level"] == "error"] == []


CALLS = 6_000


async def ask_for_much(store: Store, line: Line) -> None:
    run = (await create_run(store.client)).run
    big = event_pb2.Event(correlation_id="step_1", step_created=event_pb2.StepCreated(step_name="big"))
    big.step_created.input.text = '"' + "x" * 50_000 + '"'
    await store.client.events.CreateEvent(store_service_pb2.CreateEventRequest(run_id=run.run_id, event=big))
    listed = store_service_pb2.ListEventsRequest(run_id=run.run_id, view=payload_pb2.PAYLOAD_VIEW_STORED)
    for first in range(0, CALLS, 100):
        await line.send(*(Call(call_id=first + number, list_events=listed) for number in range(100)))


async def at_rest(store: Store) -> int:
    """Return how many statements were carried out once no more are."""
    looks, done = 0, -1
    async with asyncio.timeout(DEADLINE_SECONDS):
        while looks < 5:
            looks = looks + 1 if store.engine.statements == done else 0
            done = store.engine.statements
            await asyncio.sleep(0.03)
    return done
