"""Values of a type as JSON text and back, by pydantic, with the rules that a durable log needs on top.

Owns those rules: bytes are base64 at any depth, sets are written in a fixed order whatever the hash seed, NaN and
Infinity are refused, and what is written can be read again, checked at once. Pydantic alone would leave each of them
to the configuration of the models, so the core schema is rewritten before it is compiled. Read
``holdfast/serialization.py`` for the callers and ``holdfast/plain.py`` for values without annotation.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from functools import cached_property, lru_cache
from typing import Annotated, Any, Final, cast, get_args, get_origin

from pydantic import TypeAdapter, ValidationError
from pydantic_core import SchemaSerializer, SchemaValidator, core_schema

from holdfast.errors import SerializationError
from holdfast.plain import in_order, plain
from holdfast.typed_dicts import with_typed_dicts

#: Characters of what a library said that an error repeats.
_LINE_CHARS_MAX: Final = 300

#: Configuration of every model, dataclass and TypedDict that does not say otherwise itself.
_CONFIG: Final = {
    "ser_json_bytes": "base64",
    "val_json_bytes": "base64",
    "ser_json_inf_nan": "constants",
    "allow_inf_nan": False,
}

#: Adapters of types that cannot be hashed, by identity; the type is kept so that the identity stays its own.
_BY_IDENTITY: Final[dict[int, tuple[Any, Adapter]]] = {}
_BY_IDENTITY_MAX: Final = 256

#: What a type never is: an example of a value, or the name of a type.
_NO_KINDS: Final = (str, bytes, int, float, list, dict, set, frozenset, tuple)

#: Errors that pydantic and Python raise for a value that cannot be encoded.
_UNENCODABLE: Final = (ValueError, TypeError, RecursionError, AttributeError)


class Adapter:
    """Encodes and decodes values of one type. Errors are SerializationError without the name of a function."""

    def __init__(self, kind: Any) -> None:
        self.kind = kind

    def encode(self, value: Any) -> str:
        """Validate a value and return it as JSON text. The text is the same for equal values, in every process."""
        valid = self.check(value)
        try:
            text = self._serializer.to_json(valid, by_alias=True, round_trip=True, warnings=False).decode()
        except _UNENCODABLE as error:
            raise SerializationError(f"cannot be encoded as JSON: {_unwrapped(error)}") from error
        self.decode(text)
        return text

    def decode(self, text: str) -> Any:
        """Return the value that JSON text stands for, validated."""
        _refuse_constants(text)
        try:
            return self._validator.validate_json(text, by_alias=True, by_name=True)
        except (ValidationError, RecursionError) as error:
            raise self._invalid(error) from error

    def check(self, value: Any) -> Any:
        """Return a Python value validated against the type."""
        try:
            return self._validator.validate_python(value)
        except (ValidationError, RecursionError) as error:
            raise self._invalid(error) from error

    def prepare(self) -> None:
        """Compile it now, not at the first value. Raises SerializationError for a type that has no JSON form."""
        assert self._validator and self._serializer

    @cached_property
    def json_schema(self) -> str:
        """The JSON Schema as text; "" for ``Any`` and for types that have none."""
        if self.kind is Any:
            return ""
        try:
            return json.dumps(self._pydantic.json_schema(), sort_keys=True, separators=(",", ":"))
        except (SerializationError, ValueError, TypeError):
            return ""

    def _invalid(self, error: ValidationError | RecursionError) -> SerializationError:
        if isinstance(error, RecursionError):
            return SerializationError("is nested too deeply")
        return SerializationError(f"is not a valid {name_of(self.kind)}: {_words(error)}")

    @cached_property
    def _pydantic(self) -> TypeAdapter[Any]:
        try:
            adapter: TypeAdapter[Any] = TypeAdapter(with_typed_dicts(self.kind))
        except Exception as error:
            why = _first_line(error)
            raise SerializationError(f"has the type {name_of(self.kind)}, which has no JSON form: {why}") from error
        return adapter

    @cached_property
    def _schema(self) -> core_schema.CoreSchema:
        return cast(core_schema.CoreSchema, _rewritten(self._pydantic.core_schema))

    # Pydantic would take the compiled form of each model, with the model's own rules, instead of the rewritten schema.
    @cached_property
    def _validator(self) -> SchemaValidator:
        return SchemaValidator(self._schema, cast(Any, _CONFIG), _use_prebuilt=False)

    @cached_property
    def _serializer(self) -> SchemaSerializer:
        return SchemaSerializer(self._schema, cast(Any, _CONFIG), _use_prebuilt=False)


def adapter_of(kind: Any) -> Adapter:
    """Return the adapter of a type, made once."""
    try:
        return _by_hash(kind)
    except TypeError:
        return _by_identity(kind)


def check_kind(kind: Any, where: str) -> None:
    """Raise TypeError for a value that somebody took for a type: an example, or the name of one."""
    if isinstance(kind, _NO_KINDS):
        raise TypeError(f"{where} takes a type, as an annotation would, got {kind!r}")


def name_of(kind: Any) -> str:
    """Return a type as people write it."""
    if kind is None or kind is type(None):
        return "None"
    if get_origin(kind) is Annotated:
        return name_of(get_args(kind)[0])
    return kind.__qualname__ if isinstance(kind, type) and not hasattr(kind, "__args__") else str(kind)


@lru_cache(maxsize=1024)
def _by_hash(kind: Any) -> Adapter:
    return Adapter(kind)


def _by_identity(kind: Any) -> Adapter:
    if id(kind) not in _BY_IDENTITY:
        if len(_BY_IDENTITY) >= _BY_IDENTITY_MAX:
            _BY_IDENTITY.clear()
        _BY_IDENTITY[id(kind)] = kind, Adapter(kind)
    return _BY_IDENTITY[id(kind)][1]


def _configured(schema: dict[str, Any]) -> dict[str, Any]:
    return {**schema, "config": {**_CONFIG, **schema.get("config", {})}}


def _any(schema: dict[str, Any]) -> dict[str, Any]:
    return {**schema, "serialization": core_schema.plain_serializer_function_ser_schema(plain)}


def _list(schema: dict[str, Any]) -> dict[str, Any]:
    return {"items_schema": _any({"type": "any"}), **schema}


def _dict(schema: dict[str, Any]) -> dict[str, Any]:
    # Keys of JSON are text: the key 1 would silently come back as "1".
    has_keys = schema.get("keys_schema", {}).get("type", "any") != "any"
    keys = schema["keys_schema"] if has_keys else {"type": "str", "strict": True}
    return {"values_schema": _any({"type": "any"}), **schema, "keys_schema": keys}


def _set(schema: dict[str, Any]) -> dict[str, Any]:
    def ordered(value: Any, handler: Callable[[Any], Any]) -> list[Any]:
        return in_order(list(handler(value)))

    return {
        **_list(schema),
        "serialization": core_schema.wrap_serializer_function_ser_schema(
            ordered, schema=cast(Any, _list({key: it for key, it in schema.items() if key != "ref"}))
        ),
    }


#: Kind of core schema → how it is changed. A schema with a serializer of its own keeps it.
_REWRITES: Final[Mapping[str, Callable[[dict[str, Any]], dict[str, Any]]]] = {
    "model": _configured,
    "dataclass": _configured,
    "typed-dict": _configured,
    "any": _any,
    "list": _list,
    "dict": _dict,
    "set": _set,
    "frozenset": _set,
}

#: Parts of a core schema that hold values of users, not schemas.
_OPAQUE: Final = frozenset({"metadata", "config", "default", "expected", "members", "serialization", "cls"})


def _rewritten(node: Any) -> Any:
    if isinstance(node, list | tuple):
        return type(node)(_rewritten(it) for it in node)
    if not isinstance(node, dict):
        return node
    inner = {key: it if key in _OPAQUE else _rewritten(it) for key, it in node.items()}
    kind = inner.get("type")
    if not isinstance(kind, str) or kind not in _REWRITES or "serialization" in inner:
        return inner
    return _REWRITES[kind](inner)


def _refuse_constants(text: str) -> None:
    """Refuse NaN and Infinity, which pydantic reads and JSON does not have; strings that contain the words are fine."""
    if "NaN" in text or "Infinity" in text:
        json.loads(text, parse_constant=_refuse_constant)


def _refuse_constant(word: str) -> None:
    raise SerializationError(f"contains {word}, which JSON does not have")


def _words(error: ValidationError) -> str:
    """Put the first problems of a validation in one line."""
    found = error.errors(include_url=False, include_context=False)
    words = [_problem(".".join(str(it) for it in problem["loc"]), problem) for problem in found[:3]]
    more = f" and {len(found) - 3} more" if len(found) > 3 else ""
    return "; ".join(words) + more


def _problem(at: str, problem: Any) -> str:
    # The type and never the value: these words go into errors of the wire and into logs.
    got = "" if problem["type"] == "missing" else f", got {type(problem['input']).__name__}"
    return f"{at}: {problem['msg']}{got}" if at else f"{problem['msg']}{got}"


def _unwrapped(error: BaseException) -> str:
    """Return what a function called by pydantic said, without the words that pydantic puts around it at each level."""
    if "RecursionError" in str(error) or isinstance(error, RecursionError):
        return "it is nested too deeply or contains itself"
    said = _first_line(error).rpartition("Error calling function `plain`: ValueError: ")[2]
    return said.removeprefix("Error serializing to JSON: ")


def _first_line(error: BaseException) -> str:
    text = str(error).partition("\n")[0] or type(error).__name__
    return text if len(text) <= _LINE_CHARS_MAX else text[: _LINE_CHARS_MAX - 1] + "…"
