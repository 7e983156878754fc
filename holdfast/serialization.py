"""Arguments, results and values as payloads, and back.

Owns the form of a payload: JSON text, readable by every language; arguments are an array of positions, or an object
with ``args`` and ``kwargs``, told apart by metadata, so that what a person typed is never mistaken for either. The
rules of single values are in ``holdfast/adapters.py``. Everything raises SerializationError that names function,
parameter and type, or LimitExceeded for a size.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any, Final, Protocol, TypeVar

from google.protobuf import json_format

from holdfast.adapters import Adapter, adapter_of
from holdfast.errors import SerializationError
from holdfast.limits import check_payload
from holdfast.signatures import Arguments, Signature
from holdfast.v1 import payload_pb2

#: Metadata that tells how the arguments are written; without it they come from a person or another language.
ARGS_KEY: Final = "args"
POSITIONAL: Final = "positional"
MIXED: Final = "mixed"

_T = TypeVar("_T")


class Described(Protocol):
    """A step or workflow definition, as far as values are concerned."""

    @property
    def signature(self) -> Signature: ...


def encode_args(definition: Described, args: Sequence[Any], kwargs: Mapping[str, Any]) -> payload_pb2.Payload:
    """Encode the arguments of a call by the annotations. Raises TypeError, as the call would, when they do not bind.

    A keyword that could be a position is written as one: the same call is the same payload.
    """
    return encode_bound(definition, definition.signature.bind(tuple(args), kwargs))


def encode_bound(definition: Described, bound: Arguments) -> payload_pb2.Payload:
    """Encode arguments that are bound already, see ``encode_args``."""
    signature = definition.signature
    args, kwargs = bound
    together = None if kwargs else _adapter_of_args(signature, len(args))
    if together is not None:
        try:
            return _checked_args(signature, payload_pb2.Payload(text=together.encode(args), metadata=_IN_POSITION))
        except SerializationError:
            # Told below, one by one: which of them it is.
            pass
    names = _positions(signature, len(args))
    texts = [_encoded(signature, name, value) for name, value in zip(names, args, strict=True)]
    named = {name: _encoded(signature, name, value) for name, value in kwargs.items()}
    return _checked_args(signature, _args_payload(texts, named))


def encode_only_value(definition: Described, bound: Arguments) -> payload_pb2.Payload:
    """Encode the one argument of a call as itself, for readers in other languages; no value when there is none."""
    signature = definition.signature
    if not bound[0]:
        return payload_pb2.Payload()
    ((name,), (value,)) = signature.positional, bound[0]
    payload = payload_pb2.Payload(text=_encoded(signature, name, value))
    return check_payload(payload, f"{signature.owner}: its input")


def encode_plain_args(owner: str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> payload_pb2.Payload:
    """Encode the arguments of a function that is known by name only, as plain JSON."""
    texts = [_encoded_plain(f"{owner}: argument {number}", it) for number, it in enumerate(args, 1)]
    named = {key: _encoded_plain(f"{owner}: argument {key!r}", it) for key, it in kwargs.items()}
    return check_payload(_args_payload(texts, named), f"{owner}: its arguments together")


def decode_args(definition: Described, payload: payload_pb2.Payload) -> Arguments:
    """Decode and validate the arguments of a call, so that ``function(*args, **kwargs)`` works."""
    signature = definition.signature
    if (args_at_once := _decoded_at_once(signature, payload)) is not None:
        return args_at_once, {}
    texts, named = _written_args(signature, payload)
    args = [_decoded(signature, name, it) for name, it in zip(_positions(signature, len(texts)), texts, strict=True)]
    kwargs = {name: _decoded(signature, name, it) for name, it in named.items()}
    try:
        signature.bind(tuple(args), kwargs)
    except TypeError as error:
        names = ", ".join(signature.parameters) or "none"
        raise SerializationError(
            f"{signature.owner}: the input does not fit: {error}; its parameters are {names}, "
            "by name in an object or by position in an array"
        ) from None
    return tuple(args), kwargs


def encode_result(definition: Described, value: Any) -> payload_pb2.Payload:
    """Validate a result against the annotation and encode it."""
    try:
        text = _adapter_of_result(definition.signature).encode(value)
    except SerializationError as error:
        raise _about_result(definition, error) from error.__cause__
    return check_payload(payload_pb2.Payload(text=text), f"{definition.signature.owner}: its result")


def decode_result(definition: Described, payload: payload_pb2.Payload) -> Any:
    """Decode and validate a result by the annotation."""
    try:
        return _read(_adapter_of_result(definition.signature), payload)
    except SerializationError as error:
        raise _about_result(definition, error) from error.__cause__


def encode_value(kind: Any, value: Any) -> payload_pb2.Payload:
    """Validate a value against a type (``Any`` for plain JSON) and encode it."""
    return payload_pb2.Payload(text=_told("the value", lambda: adapter_of(kind).encode(value)))


def decode_value(kind: Any, payload: payload_pb2.Payload) -> Any:
    """Decode and validate a value; no value at all is None, a body that is not JSON is its bytes.

    Raises SerializationError for a body under a codec: that is no value yet.
    """
    return _read(adapter_of(kind), payload)


def json_schema(kind: Any) -> str:
    """Return the JSON Schema of a type as text; "" when there is none."""
    return adapter_of(kind).json_schema


def _read(adapter: Adapter, payload: payload_pb2.Payload) -> Any:
    try:
        if payload.WhichOneof("body") == "data" and not _is_json(payload) and not payload.content_encoding:
            return adapter.check(payload.data)
        return adapter.decode(_json_text(payload) or "null")
    except SerializationError as error:
        raise SerializationError(f"the value {error}") from error.__cause__


_ANY: Final = adapter_of(Any)
_JSON_TYPES: Final = ("", "application/json")
_IN_POSITION: Final = {ARGS_KEY: POSITIONAL}


def _is_json(payload: payload_pb2.Payload) -> bool:
    return payload.content_type in _JSON_TYPES and not payload.content_encoding


def _json_text(payload: payload_pb2.Payload) -> str:
    """Return the JSON text of a payload, "" for no value."""
    body = payload.WhichOneof("body")
    if body is None:
        return ""
    if not _is_json(payload):
        form = payload.content_encoding or payload.content_type
        raise SerializationError(f"is {form}, which cannot be read without a codec; expected JSON")
    if body == "value":
        return json.dumps(json_format.MessageToDict(payload.value), ensure_ascii=False)
    return payload.text if body == "text" else payload.data.decode(errors="replace")


def _args_payload(texts: Sequence[str], named: Mapping[str, str]) -> payload_pb2.Payload:
    positions = f"[{','.join(texts)}]"
    if not named:
        return payload_pb2.Payload(text=positions, metadata=_IN_POSITION)
    pairs = ",".join(f"{json.dumps(name, ensure_ascii=False)}:{text}" for name, text in named.items())
    return payload_pb2.Payload(text=f'{{"args":{positions},"kwargs":{{{pairs}}}}}', metadata={ARGS_KEY: MIXED})


@lru_cache(maxsize=1024)
def _adapter_of_args(signature: Signature, count: int) -> Adapter | None:
    """Return what takes the first ``count`` arguments at once, as a tuple; None when each needs a look of its own."""
    if count not in signature.counts:
        return None
    try:
        adapter = Adapter(tuple[tuple(map(signature.annotation, signature.positional[:count]))])  # type: ignore[misc]
        adapter.prepare()
    except (SerializationError, TypeError):
        return None
    return adapter


@lru_cache(maxsize=1024)
def _adapter_of_result(signature: Signature) -> Adapter:
    return adapter_of(signature.result)


def _decoded_at_once(signature: Signature, payload: payload_pb2.Payload) -> tuple[Any, ...] | None:
    """Decode arguments that a call gave by position, as many as there can be; None when that is not so or goes wrong.

    One validation of the text, where a look at each argument takes two and tells which of them is wrong.
    """
    if payload.metadata.get(ARGS_KEY) != POSITIONAL or not payload.text or not _is_json(payload):
        return None
    together = _adapter_of_args(signature, len(signature.positional))
    if together is None:
        return None
    try:
        return tuple(together.decode(payload.text))
    except SerializationError:
        return None


def _written_args(signature: Signature, payload: payload_pb2.Payload) -> tuple[list[Any], dict[str, Any]]:
    """Return the arguments as JSON values, not yet validated."""
    text = _told(f"{signature.owner}: the input", lambda: _json_text(payload))
    if not text:
        return [], {}
    value = _told(f"{signature.owner}: the input", lambda: _ANY.decode(text))
    how = payload.metadata.get(ARGS_KEY, "")
    if how == POSITIONAL and isinstance(value, list):
        return value, {}
    if how == MIXED and isinstance(value, dict):
        return list(value.get("args", [])), dict(value.get("kwargs", {}))
    return _people_args(signature, value)


def _people_args(signature: Signature, value: Any) -> tuple[list[Any], dict[str, Any]]:
    """The value itself for a function of one parameter, else an object of keywords or an array of positions."""
    if signature.only_parameter is not None:
        is_keyword_only = signature.only_parameter not in signature.positional
        return ([], {signature.only_parameter: value}) if is_keyword_only else ([value], {})
    if isinstance(value, list):
        return value, {}
    if isinstance(value, dict):
        return [], value
    if value is None and not signature.parameters:
        return [], {}
    raise SerializationError(
        f"{signature.owner}: the input must be an object of keyword or an array of positional arguments "
        f"({', '.join(signature.parameters) or 'it takes none'}), got {_short(value)}"
    )


def _positions(signature: Signature, count: int) -> Iterator[str]:
    """Yield the parameter of each position. Raises SerializationError when there are too many."""
    names = signature.positional[:count]
    yield from names
    rest = count - len(names)
    if rest and signature.variable_positional is None:
        raise SerializationError(
            f"{signature.owner}: the input does not fit: {count} positional arguments, at most {len(names)} are taken"
        )
    yield from [signature.variable_positional or ""] * rest


def _annotation(signature: Signature, name: str) -> Any:
    known = name if name in signature.parameters else signature.variable_keyword
    return signature.annotation(known) if known is not None else Any


def _encoded(signature: Signature, name: str, value: Any) -> str:
    kind = _annotation(signature, name)
    return _told(f"{signature.owner}: parameter {name!r}", lambda: adapter_of(kind).encode(value))


def _encoded_plain(what: str, value: Any) -> str:
    return _told(what, lambda: _ANY.encode(value))


def _decoded(signature: Signature, name: str, value: Any) -> Any:
    # By text again: JSON and Python values are not validated alike (a list for a tuple, text for bytes or a date).
    kind = _annotation(signature, name)
    return _told(f"{signature.owner}: parameter {name!r}", lambda: adapter_of(kind).decode(_ANY.encode(value)))


def _checked_args(signature: Signature, payload: payload_pb2.Payload) -> payload_pb2.Payload:
    return check_payload(payload, f"{signature.owner}: its arguments together")


def _about_result(definition: Described, error: SerializationError) -> SerializationError:
    return SerializationError(f"{definition.signature.owner}: its result {error}")


def _told(what: str, work: Callable[[], _T]) -> _T:
    """Put the name of the thing in front of what is wrong with it."""
    try:
        return work()
    except SerializationError as error:
        raise SerializationError(f"{what} {error}") from error.__cause__


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:79]}…"
