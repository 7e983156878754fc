"""Values as JSON and back: everything that annotations can say, exactly."""

from __future__ import annotations

import json
import subprocess
import sys
import typing
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from ipaddress import IPv4Address
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, NotRequired
from uuid import UUID

import pytest
from pydantic import BaseModel, ConfigDict, Field, computed_field

from holdfast import SerializationError
from holdfast.adapters import adapter_of
from holdfast.serialization import decode_value, encode_value, json_schema
from holdfast.v1 import payload_pb2


class Colour(Enum):
    RED = "red"
    BLUE = "blue"


class Blob(BaseModel):
    body: bytes
    tags: set[str] = set()
    extra: Any = None


class Aliased(BaseModel):
    model_config = ConfigDict(extra="forbid")
    order_id: int = Field(alias="orderId")

    @computed_field  # type: ignore[prop-decorator]
    @property
    def twice(self) -> int:
        return 2 * self.order_id


class Tree(BaseModel):
    value: int
    children: list[Tree] = []


@dataclass
class Parcel:
    blob: Blob
    weight: Decimal
    seal: bytes = b""


class Point(NamedTuple):
    x: int
    y: bytes


class Options(typing.TypedDict):
    size: int
    note: NotRequired[bytes]


class Nested(typing.TypedDict, total=False):
    options: list[Options]


ROUND_TRIPS: list[tuple[Any, Any]] = [
    (int, 10**60),
    (float, 0.1 + 0.2),
    (float, 1e300),
    (str, "é\u2028\0𝄞"),
    (bool, True),
    (type(None), None),
    (bytes, b"\x00\xff"),
    (Decimal, Decimal("1.10")),
    (datetime, datetime(2030, 1, 1, 12, 30, 1, 234567, tzinfo=UTC)),
    (date, date(2030, 1, 1)),
    (time, time(12, 30)),
    (timedelta, timedelta(days=400, microseconds=3)),
    (UUID, UUID(int=7)),
    (Path, Path("/srv/a")),
    (IPv4Address, IPv4Address("10.0.0.1")),
    (Colour, Colour.BLUE),
    (Literal["a", 1], 1),
    (list[int], [3, 1]),
    (tuple[int, str], (1, "a")),
    (tuple[bytes, ...], (b"\xff", b"")),
    (set[int], {3, 10, 2}),
    (frozenset[tuple[int, str]], frozenset({(2, "a"), (1, "b")})),
    (dict[int, Decimal], {1: Decimal("2.50")}),
    (dict[UUID, list[Blob]], {UUID(int=1): [Blob(body=b"\xff")]}),
    (int | str, "5"),
    (int | str, 5),
    (Blob | None, None),
    (Annotated[int, Field(gt=3)], 4),
    (Blob, Blob(body=b"\xff\x00", tags={"b", "a"}, extra={"k": [1, None, 2.5]})),
    (Parcel, Parcel(Blob(body=b"\xfe"), Decimal("0.10"), b"\x80")),
    (Tree, Tree(value=1, children=[Tree(value=2)])),
    (Aliased, Aliased(orderId=3)),
    (Point, Point(1, b"\xff")),
    (Options, {"size": 1, "note": b"\xff"}),
    (Nested, {"options": [{"size": 1}]}),
    (list[Options | None], [{"size": 1}, None]),
    (Any, {"a": [1, 2.5, "x", True, None, {"b": []}]}),
    (dict, {"a": 1}),
    (list, [1, "a"]),
]


def type_name(it: object) -> str | None:
    """Name a case by its type alone: how a set is printed differs from process to process."""
    return str(it)[:40] if isinstance(it, type) or hasattr(it, "__origin__") else None


@pytest.mark.parametrize(("kind", "value"), ROUND_TRIPS, ids=type_name)
def test_what_goes_in_comes_out(kind: Any, value: Any) -> None:
    payload = encode_value(kind, value)
    result = decode_value(kind, payload)
    assert result == value
    assert type(result) is type(value)
    json.loads(payload.text)


UNENCODABLE: list[tuple[Any, Any, str]] = [
    (int, "x", "not a valid int"),
    (float, float("nan"), "finite"),
    (Any, float("inf"), "Infinity, which JSON does not have"),
    (Any, {"a": [float("nan")]}, "NaN, which JSON does not have"),
    (dict[str, Any], {"a": float("nan")}, "NaN"),
    (str, "\ud800", "surrogates"),
    pytest.param(Any, object(), "has no JSON form", id="any-object"),
    (Any, {1: "a"}, "annotate the value"),
    (dict, {1: "a"}, "valid string"),
    (dict[tuple[int, int], str], {(1, 2): "a"}, "not a valid dict"),
    (subprocess.Popen, 1, "has no JSON form"),
    (list[Blob], [{"body": 3}], r"0\.body"),
]


@pytest.mark.parametrize(("kind", "value", "said"), UNENCODABLE, ids=type_name)
def test_what_cannot_be_encoded_says_why(kind: Any, value: Any, said: str) -> None:
    with pytest.raises(SerializationError, match=said):
        encode_value(kind, value)


def test_a_value_that_contains_itself_is_refused() -> None:
    knot: list[Any] = []
    knot.append(knot)
    for kind in (Any, list):
        with pytest.raises(SerializationError, match="contains itself"):
            encode_value(kind, knot)


def test_without_annotation_values_become_plain_json() -> None:
    value = {"set": {3, 1, 2}, "model": Aliased(orderId=1), "when": date(2030, 1, 1), "tuple": (1, 2)}
    assert json.loads(encode_value(Any, value).text) == {
        "set": [1, 2, 3],
        "model": {"orderId": 1},
        "when": "2030-01-01",
        "tuple": [1, 2],
    }


def test_the_configuration_of_a_model_wins_over_ours() -> None:
    class Own(BaseModel):
        model_config = ConfigDict(ser_json_bytes="hex", val_json_bytes="hex")
        body: bytes

    assert encode_value(Own, Own(body=b"\xff")).text == '{"body":"ff"}'
    assert decode_value(Own, payload_pb2.Payload(text='{"body":"ff"}')) == Own(body=b"\xff")


@pytest.mark.parametrize("text", ["NaN", '{"a": Infinity}', "[-Infinity]"])
@pytest.mark.parametrize("kind", [Any, float, dict[str, float], list[float]])
def test_json_with_numbers_that_json_does_not_have_is_refused(text: str, kind: Any) -> None:
    with pytest.raises(SerializationError):
        decode_value(kind, payload_pb2.Payload(text=text))


def test_text_that_mentions_nan_is_text() -> None:
    assert decode_value(Any, encode_value(Any, {"note": "NaN or Infinity"})) == {"note": "NaN or Infinity"}


def test_broken_json_is_told() -> None:
    with pytest.raises(SerializationError, match="Invalid JSON"):
        decode_value(int, payload_pb2.Payload(text="{"))


def test_no_value_is_none_bytes_are_bytes_and_other_forms_are_refused() -> None:
    assert decode_value(int | None, payload_pb2.Payload()) is None
    raw = payload_pb2.Payload(data=b"\x00\x01", content_type="application/octet-stream")
    assert decode_value(bytes, raw) == b"\x00\x01"
    sealed = payload_pb2.Payload(text="x", content_encoding="aes256gcm")
    with pytest.raises(SerializationError, match="aes256gcm"):
        decode_value(str, sealed)


def test_sets_are_written_alike_whatever_the_hash_seed() -> None:
    program = (
        "from typing import Any; from holdfast.serialization import encode_value as e;"
        "words = {f'w{i}' for i in range(50)};"
        "print(e(set[str], words).text, e(Any, {'x': words}).text, e(frozenset, frozenset(words)).text)"
    )
    answers = {
        subprocess.run(
            [sys.executable, "-c", program],
            env={"PYTHONHASHSEED": seed, "PATH": ""},
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
        ).stdout
        for seed in ("1", "2", "3")
    }
    assert len(answers) == 1


def test_a_schema_is_json_schema_and_empty_for_any() -> None:
    assert json.loads(json_schema(Aliased))["required"] == ["orderId"]
    assert json_schema(Any) == json_schema(subprocess.Popen) == ""


def test_an_adapter_is_made_once_per_type() -> None:
    assert adapter_of(list[Blob]) is adapter_of(list[Blob])
    unhashable = Annotated[int, {"not": "hashable"}]
    assert adapter_of(unhashable) is adapter_of(unhashable)
