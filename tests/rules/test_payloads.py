"""Payloads: JSON is stored as text whatever form it came in, shown in the view asked for; cursors mean nothing else."""

from __future__ import annotations

import json
from typing import Any

import pytest
from google.protobuf import json_format, struct_pb2
from hypothesis import given
from hypothesis import strategies as st

from holdfast.refusal import Refusal
from holdfast.v1 import event_pb2, payload_pb2
from store_service import limits
from store_service.rules import cursors, payloads, views
from store_service.rules.payloads import normalise
from tests.rules import book as write

Payload = payload_pb2.Payload


def value(found: Any) -> struct_pb2.Value:
    return json_format.ParseDict(found, struct_pb2.Value())


@pytest.mark.parametrize(
    ("found", "text"),
    [
        (None, "null"),
        (True, "true"),
        (1, "1"),
        (-3.0, "-3"),
        (0.5, "0.5"),
        (2**53, "9007199254740992"),
        (1e300, "1e+300"),
        ("ä\n", '"ä\\n"'),
        ({"a": [1, {}, []]}, '{"a":[1,{},[]]}'),
    ],
)
def test_a_value_is_stored_as_compact_json_text(found: Any, text: str) -> None:
    stored = normalise(Payload(value=value(found)), "event.x")
    assert (stored.text, stored.size_bytes) == (text, len(text.encode()))


@pytest.mark.parametrize(
    "payload",
    [
        Payload(text="{"),
        Payload(text=""),
        Payload(text="NaN"),
        Payload(text="[Infinity]"),
        Payload(text="1 2", content_type="application/json; charset=utf-8"),
        Payload(text="x", content_type="application/vnd.api+json"),
        Payload(data=b"\xff"),
        Payload(data=b"{"),
        Payload(value=struct_pb2.Value()),
        Payload(value=struct_pb2.Value(number_value=float("nan"))),
        Payload(value=value(1), content_type="text/plain"),
        Payload(value=value(1), content_encoding="gzip"),
    ],
)
def test_what_is_not_json_is_refused_by_the_name_of_its_field(payload: Payload) -> None:
    with pytest.raises(Refusal) as caught:
        normalise(payload, "event.run_created.input")
    assert caught.value.reason == "INVALID_FIELD"
    assert caught.value.violations[0].field.startswith("event.run_created.input.")


@pytest.mark.parametrize(
    "payload",
    [
        Payload(text='{"b": 1, "a":\t123456789012345678901234567890}'),
        Payload(text="any", content_type="text/plain"),
        Payload(data=b"\xff", content_type="application/octet-stream"),
        Payload(data=b"\xff", content_encoding="gzip"),
        Payload(metadata={"k": "v"}),
    ],
)
def test_everything_else_passes_untouched(payload: Payload) -> None:
    stored = normalise(payload, "p")
    assert stored.size_bytes == payloads.size_bytes(payload)
    stored.size_bytes = 0
    assert stored == payload


def test_json_bytes_become_text_and_a_claimed_size_counts_for_nothing() -> None:
    assert normalise(Payload(data=b'{"a":1}'), "p") == Payload(text='{"a":1}', size_bytes=7)
    assert normalise(Payload(size_bytes=99), "p").size_bytes == 0


def test_no_value_is_not_null() -> None:
    assert normalise(Payload(), "p").WhichOneof("body") is None


def test_every_payload_of_an_event_is_normalised_and_named_by_its_path() -> None:
    event = write.step_failed()
    event.step_failed.failure.cause.details.text = "{"
    with pytest.raises(Refusal) as caught:
        payloads.normalise_event(event, "events[2]")
    assert caught.value.violations[0].field == "events[2].step_failed.failure.cause.details.text"


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=("Cs",))),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text("abc"), inner, max_size=4),
    max_leaves=12,
)  # fmt: skip


@given(JSON)
def test_a_value_survives_the_way_in_and_out(found: Any) -> None:
    stored = normalise(Payload(value=value(found)), "p")
    event = event_pb2.Event(hook_received=event_pb2.HookReceived(payload=stored))
    shown = views.show_event(event, views.VALUE).hook_received.payload
    assert json.loads(stored.text) == found
    assert shown.value == value(found)


def opened(payload: Payload) -> Payload:
    event = event_pb2.Event(hook_received=event_pb2.HookReceived(payload=payload))
    return views.show_event(event, views.VALUE).hook_received.payload


@pytest.mark.parametrize(
    "payload",
    [
        Payload(text="[" * 40 + "]" * 40),
        Payload(text="1e999"),
        Payload(text="1" * 400),
        Payload(text="plain", content_type="text/plain"),
        Payload(data=b"x", content_type="image/png"),
    ],
)
def test_what_no_value_can_hold_is_shown_as_stored(payload: Payload) -> None:
    shown = opened(payload)
    assert (shown.text, shown.data) == (payload.text, payload.data)


def test_a_value_that_would_not_fit_into_an_answer_is_shown_as_stored() -> None:
    text = f"[{','.join('1' * 300_000)}]"
    assert len(text) < limits.PAYLOAD_BYTES_MAX
    assert opened(Payload(text=text)).text == text


def test_a_payload_left_out_keeps_all_but_its_body() -> None:
    payload = Payload(text="äh", content_type="text/plain", content_encoding="x", metadata={"k": "v"})
    omitted = views.omit(payload)
    assert omitted == Payload(content_type="text/plain", content_encoding="x", metadata={"k": "v"}, size_bytes=3)
    assert views.omit(omitted) == omitted


@given(st.text(max_size=20), st.integers(0, 2**63))
def test_a_cursor_reads_back_for_its_own_run_only(run_id: str, seq: int) -> None:
    cursor = cursors.run_cursor(run_id, seq)
    assert cursors.read_run_cursor(cursor, run_id) == seq
    assert cursors.read_store_cursor(cursors.store_cursor(seq)) == seq
    for read in (lambda: cursors.read_run_cursor(cursor, run_id + "x"), lambda: cursors.read_store_cursor(cursor)):
        with pytest.raises(Refusal):
            read()


@given(st.text(max_size=60))
def test_no_made_up_cursor_is_taken(text: str) -> None:
    for read in (
        lambda: cursors.read_run_cursor(text, "run_1"),
        lambda: cursors.read_store_cursor(text),
        lambda: cursors.read_page_token(text or "x", b"scope"),
    ):
        with pytest.raises(Refusal) as caught:
            read()
        assert caught.value.reason == "INVALID_CURSOR"


def test_a_size_is_that_of_the_bytes_or_the_one_that_was_noted() -> None:
    assert payloads.size_bytes(Payload(text="ä")) == 2
    assert payloads.size_bytes(Payload(data=b"\xff\xff\xff")) == 3
    assert payloads.size_bytes(Payload(size_bytes=7)) == 7
