"""Every kind of event has its effect, every step its state, and ids are what the contract allows."""

from __future__ import annotations

import re

import pytest

from holdfast import RetryPolicy, step, workflow
from holdfast.v1 import entity_pb2, event_pb2, payload_pb2
from runtime_service.replay.effects import EFFECTS
from runtime_service.replay.scope import Scope
from tests.replay.rehearsal import STARTED_MS, Rehearsal, check_replays, event, json_payload


class CardDeclined(Exception):
    pass


@step(
    name="effects.charge",
    retry=RetryPolicy(max_attempts=5, initial_interval="2s", backoff=3, max_interval=60, non_retryable=(CardDeclined,)),
    timeout="30s",
    total_timeout="1h",
    heartbeat_timeout="1500ms",
    queue="payments",
)
async def charge(amount: int) -> int:
    return amount


@workflow(name="effects.charging")
async def charging(amount: int) -> int:
    return await charge(amount)


def test_every_kind_of_the_contract_has_its_effect() -> None:
    kinds = {name.removeprefix("EVENT_TYPE_").lower() for name in event_pb2.EventType.DESCRIPTOR.values_by_name} - {
        "unspecified"
    }
    arms = {field.name for field in event_pb2.Event.DESCRIPTOR.oneofs_by_name["attributes"].fields}
    assert set(EFFECTS) == kinds == arms


def test_a_step_is_recorded_with_everything_its_definition_says() -> None:
    created = Rehearsal(charging, 5).settle()[0].step_created
    assert created.step_name == "effects.charge"
    assert created.input.text.replace(" ", "") == "[5]"
    assert created.retry_policy.max_attempts == 5
    assert created.retry_policy.initial_interval.ToMilliseconds() == 2000
    assert created.retry_policy.backoff_coefficient == 3
    assert created.retry_policy.non_retryable_types == [f"{CardDeclined.__module__}.CardDeclined"]
    assert created.attempt_timeout.ToMilliseconds() == 30_000
    assert created.total_timeout.ToMilliseconds() == 3_600_000
    assert created.heartbeat_timeout.ToMilliseconds() == 1500
    assert created.queue == "payments"
    assert re.fullmatch(rf"{re.escape(__file__)}:\d+", created.source)


def test_an_open_step_is_what_the_log_says_of_it() -> None:
    run = Rehearsal(charging, 5)
    step_id = "step_effects.charge#1"

    def now() -> tuple[int, int, int | None, int | None, bool]:
        it = run.instance.open_steps()[step_id]
        return it.attempt, it.status, it.retry_time_ms, it.first_started_ms, it.is_recorded

    pending, running = entity_pb2.STEP_STATUS_PENDING, entity_pb2.STEP_STATUS_RUNNING
    assert now() == (0, pending, None, None, False)
    run.settle()
    assert now() == (0, pending, None, None, True)
    run.say(event("step_started", step_id, attempt=1))
    first = STARTED_MS + 3
    assert now() == (1, running, None, first, True)
    retrying = event("step_retrying", step_id, attempt=1, failure=payload_pb2.Failure(message="declined"))
    retrying.step_retrying.retry_time.FromMilliseconds(first + 2000)
    retrying.step_retrying.heartbeat_details.CopyFrom(json_payload({"page": 3}))
    run.say(retrying)
    assert now() == (1, pending, first + 2000, first, True)
    open_step = run.instance.open_steps()[step_id]
    assert open_step.last_failure is not None
    assert open_step.last_failure.message == "declined"
    assert open_step.heartbeat_details == json_payload({"page": 3})
    run.say(event("step_started", step_id, attempt=2), after_ms=2000)
    assert now() == (2, running, None, first, True)
    run.say(event("step_completed", step_id, attempt=2, output=json_payload(5)))
    assert dict(run.instance.open_steps()) == {}
    run.settle()
    assert run.result() == 5
    check_replays(run)


def test_decisions_are_returned_once_and_in_order() -> None:
    run = Rehearsal(charging, 5)
    assert [it.WhichOneof("attributes") for it in run.instance.take_decisions()] == ["step_created"]
    assert run.instance.take_decisions() == []


def test_no_decision_says_when_it_happened() -> None:
    run = Rehearsal(charging, 5)
    assert not any(it.HasField("occur_time") for it in run.settle())


@pytest.mark.parametrize("name", ["plain", "päck.ed name!", "a/b#c", "x" * 256, "module.function.<locals>.inner"])
def test_ids_are_what_the_contract_allows(name: str) -> None:
    scope = Scope()
    for _ in range(60):
        scope = scope.child()
    for made in (scope.step_id(name), scope.hook_id(), scope.wait_id()):
        assert re.fullmatch(r"[A-Za-z0-9_.:/#-]{1,256}", made)


def test_ids_are_never_shared() -> None:
    root = Scope()
    child = root.child()
    made = [root.step_id("1/x"), child.step_id("x"), root.step_id("x#1"), root.step_id("x"), root.step_id("x")]
    long = "y" * 255
    made += [child.step_id(long + "1"), child.step_id(long + "2"), child.step_id(long + "1")]
    assert len(set(made)) == len(made)
