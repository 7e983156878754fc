"""Arguments are validated all at once where they can be; nobody could tell from what is written or read."""

from __future__ import annotations

import inspect
from inspect import Parameter
from types import SimpleNamespace
from typing import Annotated, Any

import pytest
from pydantic import AfterValidator

from holdfast import SerializationError
from holdfast.adapters import adapter_of
from holdfast.serialization import _adapter_of_args, decode_args, encode_args
from holdfast.signatures import Signature
from tests.authoring import test_rich_types, test_values

CASES = [*test_values.ROUND_TRIPS, *test_rich_types.ROUND_TRIPS]


def taking(*kinds: Any) -> Any:
    """Return what describes a step of parameters a, b and c of these kinds; all but the first have a default."""

    def function() -> None: ...

    parameters = [
        Parameter(name, Parameter.POSITIONAL_OR_KEYWORD, default=None if name != "a" else Parameter.empty)
        for name, _ in zip("abc", kinds, strict=False)
    ]
    setattr(function, "__signature__", inspect.Signature(parameters))  # noqa: B010 - functions have no such attribute
    function.__annotations__ = {it.name: kind for it, kind in zip(parameters, kinds, strict=True)}
    return SimpleNamespace(signature=Signature(function, "step taking"))


@pytest.mark.parametrize(("kind", "value"), CASES, ids=[f"{number}" for number in range(len(CASES))])
def test_arguments_together_are_written_and_read_as_each_alone(kind: Any, value: Any) -> None:
    definition = taking(kind, int, kind)
    assert _adapter_of_args(definition.signature, 3) is not None
    alone = adapter_of(kind).encode(value)
    payload = encode_args(definition, (value, 5, value), {})
    assert payload.text == f"[{alone},5,{alone}]"
    args, kwargs = decode_args(definition, payload)
    read = adapter_of(kind).decode(alone)
    assert (args, kwargs) == ((read, 5, read), {})
    assert list(map(type, args)) == [type(read), int, type(read)]


@pytest.mark.parametrize("count", [1, 2, 3])
def test_defaults_that_a_call_leaves_out_stay_out_of_its_payload(count: int) -> None:
    definition = taking(int, int, int)
    payload = encode_args(definition, range(count), {})
    assert payload.text == str(list(range(count))).replace(" ", "")
    assert decode_args(definition, payload) == (tuple(range(count)), {})


def small(value: int) -> int:
    if value > 9:
        raise ValueError("too large")
    return value


def test_the_argument_that_does_not_fit_is_named() -> None:
    definition = taking(int, Annotated[int, AfterValidator(small)])
    with pytest.raises(SerializationError, match=r"step taking: parameter 'b' is not a valid int: .*too large"):
        encode_args(definition, (1, 10), {})
    payload = encode_args(taking(int, int), (1, 10), {})
    with pytest.raises(SerializationError, match=r"step taking: parameter 'b' is not a valid int: .*too large"):
        decode_args(definition, payload)
