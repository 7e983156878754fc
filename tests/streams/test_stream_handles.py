"""Handles on streams as values: in arguments, in models, in schemas."""

from __future__ import annotations

import json
from typing import Any

import pytest
from pydantic import BaseModel

from holdfast import SerializationError, StreamWriter
from holdfast.serialization import decode_value, encode_value, json_schema
from tests.streams.writers import Progress

HANDLE = StreamWriter[Progress]("run_1", "progress", Progress)


class Job(BaseModel):
    name: str
    output: StreamWriter[Progress]
    log: StreamWriter[str] | None = None


@pytest.mark.parametrize("kind", [StreamWriter[Progress], StreamWriter])
def test_a_handle_is_readable_json_and_comes_back_equal(kind: Any) -> None:
    payload = encode_value(kind, HANDLE)
    assert json.loads(payload.text) == {"run_id": "run_1", "name": "progress"}
    assert decode_value(kind, payload) == HANDLE


def test_a_handle_has_the_item_type_of_the_annotation() -> None:
    text = encode_value(StreamWriter[Progress], HANDLE)
    assert decode_value(StreamWriter[Progress], text)._kind is Progress
    assert decode_value(StreamWriter, text)._kind is Any


@pytest.mark.parametrize("kind", [list[StreamWriter[int]], dict[str, StreamWriter[int]]])
def test_handles_travel_inside_other_values(kind: Any) -> None:
    value = [HANDLE] if kind == list[StreamWriter[int]] else {"a": HANDLE}
    assert decode_value(kind, encode_value(kind, value)) == value


def test_a_model_may_hold_handles() -> None:
    job = Job(name="j", output=HANDLE)
    found = decode_value(Job, encode_value(Job, job))
    assert found == job and found.output._kind is Progress


def test_what_is_no_handle_is_refused() -> None:
    for value in ("progress", {"run_id": "run_1"}, None):
        with pytest.raises(SerializationError):
            encode_value(StreamWriter[int], value)


def test_the_schema_shows_what_a_handle_is() -> None:
    assert set(json.loads(json_schema(StreamWriter[int]))["required"]) == {"run_id", "name"}


def test_handles_are_equal_by_run_and_name_and_show_them() -> None:
    assert HANDLE == StreamWriter("run_1", "progress") != StreamWriter("run_2", "progress")
    assert len({HANDLE, StreamWriter("run_1", "progress")}) == 1
    assert "progress" in repr(HANDLE) and "run_1" in repr(HANDLE)
