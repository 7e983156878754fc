"""The tables of the rules are complete: no event type, state or field without an answer."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from google.protobuf.descriptor import Descriptor

from holdfast.v1 import entity_pb2, event_pb2, payload_pb2
from store_service.engines.contract import EntityKind
from store_service.rules import admission, payloads, projection, transitions
from store_service.rules.kinds import KINDS
from store_service.rules.transitions import Verdict

TYPES = event_pb2.EventType.values()[1:]
ARMS = event_pb2.Event.DESCRIPTOR.oneofs_by_name["attributes"].fields


def test_every_event_type_has_a_kind_and_an_effect() -> None:
    assert set(KINDS) == set(projection.EFFECTS) == set(TYPES)


def test_every_kind_names_its_arm() -> None:
    assert {kind.arm for kind in KINDS.values()} == {field.name for field in ARMS}


@pytest.mark.parametrize("event_type", TYPES)
def test_every_event_type_has_a_verdict_in_every_state_of_the_run(event_type: int) -> None:
    states = {transitions.ABSENT, *entity_pb2.RunStatus.values()[1:]}
    assert set(transitions.RUN_STATES[event_type]) == states


@pytest.mark.parametrize("event_type", TYPES)
def test_every_event_of_an_entity_has_a_verdict_in_every_state_of_it(event_type: int) -> None:
    kind = KINDS[event_type].entity
    if kind is None:
        assert event_type not in transitions.ENTITY_TRANSITIONS
    else:
        assert set(transitions.ENTITY_TRANSITIONS[event_type]) == set(transitions.ENTITY_STATES[kind])


def test_an_ended_run_takes_nothing() -> None:
    ended = [entity_pb2.RUN_STATUS_COMPLETED, entity_pb2.RUN_STATUS_FAILED, entity_pb2.RUN_STATUS_CANCELLED]
    verdicts = {transitions.RUN_STATES[kind][state] for kind in TYPES for state in ended}
    assert verdicts == {Verdict.ENDED, Verdict.EXISTS}


def test_a_closed_entity_takes_nothing() -> None:
    closed = {
        EntityKind.STEP: (3, 4, 5),
        EntityKind.HOOK: (2, 3),
        EntityKind.WAIT: (2, 3),
    }
    for event_type, row in transitions.ENTITY_TRANSITIONS.items():
        kind = KINDS[event_type].entity
        assert kind is not None
        assert all(row[state] is not Verdict.ALLOWED for state in closed[kind])


def test_every_verdict_is_answered() -> None:
    run_verdicts = {verdict for row in transitions.RUN_STATES.values() for verdict in row.values()}
    entity_verdicts = {verdict for row in transitions.ENTITY_TRANSITIONS.values() for verdict in row.values()}
    assert run_verdicts - {Verdict.ALLOWED} == set(admission._RUN_ANSWERS)
    assert entity_verdicts - {Verdict.ALLOWED} == set(admission._ENTITY_ANSWERS)


def _payload_paths(message: Descriptor, prefix: str) -> Iterator[str]:
    for field in message.fields:
        if field.message_type is payload_pb2.Payload.DESCRIPTOR:
            yield f"{prefix}{field.name}"
        elif field.message_type is payload_pb2.Failure.DESCRIPTOR and field.name != "cause":
            yield f"{prefix}{field.name}.details"


@pytest.mark.parametrize("arm", [field.name for field in ARMS])
def test_every_payload_of_an_event_is_found(arm: str) -> None:
    event = event_pb2.Event()
    content = getattr(event, arm)
    content.SetInParent()
    for field in content.DESCRIPTOR.fields:
        if field.message_type is payload_pb2.Failure.DESCRIPTOR:
            getattr(content, field.name).details.text = "1"
        elif field.message_type is payload_pb2.Payload.DESCRIPTOR:
            getattr(content, field.name).text = "1"
    found = {path for path, _ in payloads.of_event(event)}
    assert found == set(_payload_paths(content.DESCRIPTOR, f"{arm}."))


def test_what_a_replay_concludes_is_a_decision_and_nothing_else_is() -> None:
    decisions = {kind.arm for kind in KINDS.values() if kind.is_decision}
    assert decisions == {
        *("run_completed", "run_failed", "run_cancelled", "step_created", "hook_created", "hook_disposed"),
        *("hook_conflict", "wait_created", "wait_completed", "attributes_set", "patch_applied"),
    }
