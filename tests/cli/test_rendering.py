"""One event is one line, for every kind of event there is."""

from __future__ import annotations

import pytest

from holdfast.cli.rendering import _WORDS, brief, enum_word, event_line, event_words, payload_text
from holdfast.v1 import entity_pb2, event_pb2, payload_pb2

KINDS = [field.name for field in event_pb2.Event.DESCRIPTOR.oneofs_by_name["attributes"].fields]


def test_every_kind_of_event_has_words() -> None:
    assert sorted(_WORDS) == sorted(KINDS)


@pytest.mark.parametrize("kind", KINDS)
def test_an_event_of_any_kind_is_one_line_even_when_it_is_empty(kind: str) -> None:
    event = event_pb2.Event(seq=7, correlation_id="step_a#1")
    getattr(event, kind).SetInParent()
    assert "\n" not in event_line(event)
    assert kind in event_line(event)


def test_a_long_payload_is_cut_and_says_so() -> None:
    event = event_pb2.Event()
    event.step_completed.output.text = '"' + "x" * 1000 + '"'
    assert len(event_words(event)) <= 80
    assert event_words(event).endswith("…")


def test_text_of_several_lines_becomes_one() -> None:
    assert brief("a\n   b\tc") == "a b c"


def test_a_payload_without_a_value_reads_as_null_and_bytes_as_their_size() -> None:
    assert payload_text(payload_pb2.Payload()) == "null"
    assert payload_text(payload_pb2.Payload(data=b"abc", content_type="image/png")) == "<3 bytes of image/png>"


def test_enum_values_are_shown_by_their_last_word_and_unknown_ones_by_number() -> None:
    assert enum_word(entity_pb2.RunStatus, entity_pb2.RUN_STATUS_FAILED) == "failed"
    assert enum_word(entity_pb2.RunStatus, 99) == "99"


def test_a_kind_newer_than_this_program_is_still_a_line() -> None:
    assert "unknown" in event_line(event_pb2.Event(seq=1))
