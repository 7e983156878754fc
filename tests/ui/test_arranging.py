"""Events as bars and rows, values as text: what is pure about the pages."""

from __future__ import annotations

from typing import Any

import pytest

from holdfast.v1 import event_pb2, payload_pb2, stream_service_pb2
from runtime_service.ui import limits, texts
from runtime_service.ui.log import chain, entry
from runtime_service.ui.stream_ends import Newest
from runtime_service.ui.timeline import _EFFECTS, timeline


def event(at: int, entity: str = "", **arm: Any) -> event_pb2.Event:
    found = event_pb2.Event(correlation_id=entity, **arm)
    found.create_time.FromMilliseconds(at)
    return found


CREATED = event(1000, run_created=event_pb2.RunCreated(workflow_name="w"))


def test_an_attempt_that_failed_its_pause_and_the_next_are_bars_of_one_row() -> None:
    retrying = event_pb2.StepRetrying(attempt=1, failure=payload_pb2.Failure(message="no"))
    events = [
        CREATED,
        event(1000, "s", step_created=event_pb2.StepCreated(step_name="charge")),
        event(1100, "s", step_started=event_pb2.StepStarted(attempt=1)),
        event(1200, "s", step_retrying=retrying),
        event(1400, "s", step_started=event_pb2.StepStarted(attempt=2)),
        event(2000, "s", step_completed=event_pb2.StepCompleted(attempt=2)),
    ]
    (lane,) = timeline(events, 9000, is_open=False).lanes
    assert (lane.name, lane.state, lane.took) == ("charge", "completed", "1 s")
    shape = [(bar.kind, round(bar.left), round(bar.width)) for bar in lane.bars]
    assert shape == [("queued", 0, 10), ("failed", 10, 10), ("backoff", 20, 20), ("done", 40, 60)]


def test_what_goes_on_reaches_to_now() -> None:
    events = [CREATED, event(1500, "s", step_started=event_pb2.StepStarted(attempt=1))]
    (lane,) = timeline(events, 2000, is_open=True).lanes
    assert [(bar.kind, bar.left, bar.width) for bar in lane.bars] == [("running", 50, 50)]
    assert lane.state == "running"


def test_what_began_on_an_earlier_page_begins_at_the_edge() -> None:
    events = [CREATED, event(1500, "h", hook_disposed=event_pb2.HookDisposed()), event(2000, "x", wait_completed={})]
    hook, wait = timeline(events, 0, is_open=False).lanes
    assert [(bar.left, bar.width) for bar in (*hook.bars, *wait.bars)] == [(0, 50), (0, 100)]


def test_every_kind_of_an_entity_has_an_effect_on_its_row() -> None:
    arms = [arm.name for arm in event_pb2.Event.DESCRIPTOR.oneofs_by_name["attributes"].fields]
    assert {arm for arm in arms if arm.startswith(("step_", "hook_", "wait_"))} == set(_EFFECTS)


def test_every_kind_of_event_is_a_row_with_all_its_parts() -> None:
    for arm in event_pb2.Event.DESCRIPTOR.oneofs_by_name["attributes"].fields:
        made = event_pb2.Event()
        getattr(made, arm.name).SetInParent()
        assert entry(made, CREATED.create_time).kind == arm.name
    created = event_pb2.StepCreated(step_name="charge", source="app.py:7", queue="q")
    created.retry_policy.max_attempts = 3
    created.attempt_timeout.seconds = 5
    created.input.text = "[1]"
    row = entry(event(1250, "s", step_created=created), CREATED.create_time)
    facts = dict(row.facts)
    assert row.after == "+250 ms" and facts["source"] == "app.py:7" and facts["attempt_timeout"] == "5s"
    assert "maxAttempts" in facts["retry_policy"] and row.values == (("input", texts.Text("[\n  1\n]")),)
    assert entry(event_pb2.Event(seq=3), CREATED.create_time).kind == "unknown"


def test_a_chain_of_causes_has_an_end() -> None:
    failure = payload_pb2.Failure(type="E0")
    for number in range(1, 30):
        failure = payload_pb2.Failure(type=f"E{number}", cause=failure)
    assert [error.type for error in chain(failure)] == [f"E{29 - index}" for index in range(limits.CAUSES_MAX)]


@pytest.mark.parametrize(
    ("stored", "shown"),
    [
        ('{"a":1,"b":[true,null],"c":{}}', '{\n  "a": 1,\n  "b": [\n    true,\n    null\n  ],\n  "c": {}\n}'),
        ("12345678901234567890.10", "12345678901234567890.10"),
        ('{"b":1,"a":"x, {y: [1]} \\" z"}', '{\n  "b": 1,\n  "a": "x, {y: [1]} \\" z"\n}'),
        ("[]", "[]"),
        ('"open', '"open'),
        ("]]}", "\n]\n]\n}"),
    ],
)
def test_json_is_indented_and_otherwise_as_it_is_stored(stored: str, shown: str) -> None:
    assert texts.value(payload_pb2.Payload(text=stored)).text == shown


def test_values_that_are_no_text_say_what_they_are() -> None:
    assert texts.value(payload_pb2.Payload(data=b"abc", content_type="image/png")).text == "3 bytes of image/png"
    sealed = payload_pb2.Payload(data=b"abc", content_encoding="zstd,aes256gcm")
    assert texts.value(sealed).text == "3 bytes, encoded (zstd,aes256gcm)"
    assert texts.value(payload_pb2.Payload()).text == "no value"


def test_deep_and_large_values_cost_no_more_than_is_shown() -> None:
    shown = texts.value(payload_pb2.Payload(text="[" * 1_000_000))
    assert len(shown.text) <= limits.VALUE_CHARS_MAX + 1 and "1,000,000 characters" in shown.note


@pytest.mark.parametrize(
    ("milliseconds", "shown"),
    [(0, "0 ms"), (999, "999 ms"), (1_500, "1.5 s"), (61_000, "1 min 1 s"), (90_061_000, "1 d 1 h")],
)
def test_spans_are_told_in_two_units(milliseconds: int, shown: str) -> None:
    assert texts.span(milliseconds) == shown


def test_what_a_failed_attempt_wrote_is_left_out_once_the_next_began() -> None:
    def by(attempt: int, **what: Any) -> stream_service_pb2.ReadStreamResponse:
        return stream_service_pb2.ReadStreamResponse(
            author=stream_service_pb2.StreamAuthor(step_id="s", attempt=attempt), **what
        )

    newest = Newest()
    newest.take(stream_service_pb2.ReadStreamResponse(data=b"of nobody"))
    newest.take(by(1, data=b"void"))
    assert newest.chunks() == [b"of nobody", b"void"]
    reset = stream_service_pb2.StreamReset(author=stream_service_pb2.StreamAuthor(step_id="s", attempt=2))
    newest.take(stream_service_pb2.ReadStreamResponse(reset=reset))
    assert newest.chunks() == [b"of nobody"]
    newest.take(by(2, data=b"good"))
    assert newest.chunks() == [b"of nobody", b"good"]
