"""Arguments as payloads: what programs write, and what people type."""

from __future__ import annotations

from typing import Any

import pytest

from holdfast import LimitExceeded, SerializationError, step, workflow
from holdfast.definitions import definition_of
from holdfast.serialization import decode_args, decode_result, encode_args, encode_plain_args, encode_result
from holdfast.v1 import payload_pb2


@workflow
async def none() -> None: ...


@workflow
async def one(values: list[int]) -> int:
    return sum(values)


@workflow
async def two(a: int, b: str = "b") -> None: ...


@step
async def every(a: int, /, b: int = 2, *rest: int, c: bytes = b"", **more: bytes) -> None: ...


@step
async def keyword(*, only: int) -> None: ...


def described(function: Any) -> Any:
    return definition_of(function)


@pytest.mark.parametrize(
    ("function", "args", "kwargs", "how", "text"),
    [
        (none, (), {}, "positional", "[]"),
        (one, ([1, 2],), {}, "positional", "[[1,2]]"),
        (two, (1,), {}, "positional", "[1]"),
        (two, (), {"a": 1, "b": "x"}, "positional", '[1,"x"]'),
        (every, (1, 2, 3, 4), {}, "positional", "[1,2,3,4]"),
        (every, (1,), {"c": b"\xff", "z": b"\x00"}, "mixed", '{"args":[1],"kwargs":{"c":"_w==","z":"AA=="}}'),
        (keyword, (), {"only": 1}, "mixed", '{"args":[],"kwargs":{"only":1}}'),
    ],
)
def test_arguments_go_out_and_come_back(
    function: Any, args: tuple[Any, ...], kwargs: dict[str, Any], how: str, text: str
) -> None:
    definition = described(function)
    payload = encode_args(definition, args, kwargs)
    assert (payload.text, dict(payload.metadata)) == (text, {"args": how})
    came_args, came_kwargs = decode_args(definition, payload)
    assert definition.signature.bind(came_args, came_kwargs) == definition.signature.bind(args, kwargs)


@pytest.mark.parametrize(
    ("function", "typed", "expected"),
    [
        (one, "[1, 2]", (([1, 2],), {})),
        (two, '{"a": 1, "b": "x"}', ((), {"a": 1, "b": "x"})),
        (two, '[1, "x"]', ((1, "x"), {})),
        (two, '{"a": 1}', ((), {"a": 1})),
        (none, "null", ((), {})),
        (none, "{}", ((), {})),
        (none, "[]", ((), {})),
        (none, None, ((), {})),
        (keyword, "5", ((), {"only": 5})),
    ],
)
def test_what_people_type_is_the_value_itself_an_object_or_an_array(
    function: Any, typed: str | None, expected: Any
) -> None:
    payload = payload_pb2.Payload() if typed is None else payload_pb2.Payload(text=typed)
    assert decode_args(described(function), payload) == expected


@pytest.mark.parametrize(
    ("function", "typed", "said"),
    [
        (one, None, "missing a required argument: 'values'"),
        (one, '"x"', r"parameter 'values' is not a valid list\[int\]"),
        (two, "5", "must be an object of keyword or an array of positional arguments"),
        (two, '[1, "b", 3]', "at most 2 are taken"),
        (two, '{"a": 1, "c": 2}', "unexpected keyword argument 'c'"),
        (two, '{"b": "x"}', "missing a required argument: 'a'"),
        (none, "5", "it takes none"),
        (two, "{", "Invalid JSON"),
    ],
)
def test_an_input_that_does_not_fit_says_so(function: Any, typed: str | None, said: str) -> None:
    payload = payload_pb2.Payload() if typed is None else payload_pb2.Payload(text=typed)
    with pytest.raises(SerializationError, match=rf"workflow .*{said}"):
        decode_args(described(function), payload)


def test_what_a_program_wrote_is_never_taken_for_what_a_person_typed() -> None:
    args, _ = decode_args(described(one), encode_args(described(one), ([[1][0]],), {}))
    assert args == ([1],)


def test_a_function_known_by_name_takes_plain_json() -> None:
    assert encode_plain_args("workflow x", [{"a": 1}], {}).text == '[{"a":1}]'
    assert encode_plain_args("workflow x", [], {"k": 1}).text == '{"args":[],"kwargs":{"k":1}}'
    with pytest.raises(SerializationError, match="workflow x: argument 1 cannot be encoded"):
        encode_plain_args("workflow x", [object()], {})


def test_a_result_is_checked_by_its_annotation_and_its_size() -> None:
    assert decode_result(described(one), encode_result(described(one), 3)) == 3
    with pytest.raises(SerializationError, match="its result is not a valid int"):
        encode_result(described(one), "three")
    with pytest.raises(SerializationError, match="its result is not a valid None"):
        encode_result(described(none), 1)

    @step
    async def large() -> str:
        return ""

    with pytest.raises(LimitExceeded, match="its result takes"):
        encode_result(described(large), "x" * (2 * 1024 * 1024))


def test_an_object_that_was_meant_as_the_first_argument_is_told_the_names() -> None:
    meant_as_one = payload_pb2.Payload(text='{"b": "x"}')
    with pytest.raises(SerializationError, match="its parameters are a, b, by name in an object or by position"):
        decode_args(described(two), meant_as_one)
