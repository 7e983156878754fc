"""What a create answers: the event, its entity and run, in the view asked for, and what lay between."""

from __future__ import annotations

from typing import Any

import pytest

from holdfast.v1 import event_pb2, payload_pb2
from holdfast.v1 import store_service_pb2 as api
from tests.support.store import Store, add, create_run, hook_created, hook_received


@pytest.fixture
async def store(any_store: Store) -> Store:
    """On each engine."""
    return any_store


RUN = "order-1"


def step_created() -> event_pb2.Event:
    event = event_pb2.Event(correlation_id="step_charge#1", step_created=event_pb2.StepCreated(step_name="charge"))
    event.step_created.input.text = '{"amount":5}'
    return event


def wait_created() -> event_pb2.Event:
    event = event_pb2.Event(correlation_id="wait_#1")
    event.wait_created.resume_time.FromMilliseconds(2_000_000_000_000)
    return event


@pytest.mark.parametrize(
    ("event", "arm"), [(step_created(), "step"), (hook_created(), "hook"), (wait_created(), "wait")]
)
async def test_the_entity_comes_back_as_the_event_left_it(store: Store, event: event_pb2.Event, arm: str) -> None:
    await create_run(store.client, RUN)
    answer = await add(store.client, RUN, event)
    assert answer.WhichOneof("entity") == arm
    assert answer.event.seq == answer.run.guard.head_seq == 3
    read: Any = await {
        "step": lambda: store.client.events.GetStep(api.GetStepRequest(run_id=RUN, step_id=event.correlation_id)),
        "hook": lambda: store.client.events.GetHook(
            api.GetHookRequest(ref=api.HookRef(run_id=RUN, hook_id=event.correlation_id))
        ),
        "wait": lambda: store.client.events.GetWait(api.GetWaitRequest(run_id=RUN, wait_id=event.correlation_id)),
    }[arm]()
    assert getattr(read, arm).status == getattr(answer, arm).status == 1


async def test_payloads_are_left_out_of_answers_unless_asked_for(store: Store) -> None:
    await create_run(store.client, RUN, input=payload_pb2.Payload(text="1"))
    plain = await add(store.client, RUN, step_created())
    assert plain.event.step_created.input.WhichOneof("body") is None
    assert plain.event.step_created.input.size_bytes == len('{"amount":5}')
    other = step_created()
    other.correlation_id = "step_charge#2"
    shown = await add(store.client, RUN, other, view=payload_pb2.PAYLOAD_VIEW_VALUE)
    for payload in (shown.event.step_created.input, shown.step.input):
        assert payload.value.struct_value.fields["amount"].number_value == 5
    assert shown.run.input.value.number_value == 1


async def test_a_value_for_people_is_stored_as_text(store: Store) -> None:
    await create_run(store.client, RUN)
    await add(store.client, RUN, hook_created())
    event = event_pb2.Event(correlation_id="hook_#1")
    event.hook_received.payload.value.struct_value.fields["n"].number_value = 3
    answer = await add(store.client, RUN, event, view=payload_pb2.PAYLOAD_VIEW_STORED)
    assert answer.event.hook_received.payload.text == '{"n":3}'


async def test_what_lay_between_comes_back_as_stored_whatever_the_view(store: Store) -> None:
    await create_run(store.client, RUN)
    await add(store.client, RUN, hook_created())
    await add(store.client, RUN, hook_received(text='"hello"'))
    answer = await add(store.client, RUN, hook_created("hook_#2"), delta_after_seq=2)
    assert [event.seq for event in answer.interleaved.events] == [3, 4]
    assert answer.interleaved.events[1].hook_received.payload.text == '"hello"'
    assert answer.interleaved.head_seq == 4 and answer.event.seq == 5
    without = await add(store.client, RUN, hook_created("hook_#3"))
    assert not without.HasField("interleaved")


async def test_a_repeated_request_gets_the_first_answer(store: Store) -> None:
    await create_run(store.client, RUN)
    first = await add(store.client, RUN, step_created(), request_id="once", view=payload_pb2.PAYLOAD_VIEW_STORED)
    again = await add(store.client, RUN, step_created(), request_id="once", view=payload_pb2.PAYLOAD_VIEW_STORED)
    assert again.deduplicated and not first.deduplicated
    assert (again.event, again.step, again.next_cursor) == (first.event, first.step, first.next_cursor)
    page = await store.client.events.ListEvents(api.ListEventsRequest(run_id=RUN))
    assert page.head_seq == 3


async def test_the_id_of_a_run_may_be_left_to_the_store(store: Store) -> None:
    created = await create_run(store.client)
    assert created.run.run_id.startswith("run_")
    assert {event.run_id for event in created.events} == {created.run.run_id}
