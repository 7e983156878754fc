"""Looks inside values that come in: the form they are stored in, and the JSON Schema a hook asks for.

Never changes what a value means. An encoded payload (a client's codec was at work) is decoded for the look alone, when
this process has a codec, and passes unseen when it has none.
"""

from __future__ import annotations

import asyncio
import json
from functools import lru_cache
from itertools import islice
from typing import Any, Final

from google.protobuf import json_format, struct_pb2
from jsonschema import Draft202012Validator
from jsonschema.exceptions import SchemaError, ValidationError, best_match
from jsonschema.protocols import Validator
from jsonschema.validators import validator_for

from holdfast.errors import SerializationError
from holdfast.refusal import invalid_field
from holdfast.sealing import Sealing
from holdfast.v1 import payload_pb2
from runtime_service.api.checks import check_payload_size

#: Characters of a validation message that an error repeats: statuses stay small.
_MESSAGE_CHARS_MAX: Final = 300

#: Characters of a value that is checked against a schema on the event loop: some ten milliseconds.
_AT_ONCE_CHARS_MAX: Final = 8 * 1024

#: Violations among which the most telling one is looked for.
_ERRORS_COMPARED_MAX: Final = 100


def as_stored(payload: payload_pb2.Payload, field: str) -> payload_pb2.Payload:
    """Return the payload in its stored form: a ``value`` for people becomes JSON ``text``. Checks size and syntax."""
    check_payload_size(payload, field)
    stored = payload_pb2.Payload()
    stored.CopyFrom(payload)
    if payload.WhichOneof("body") == "value":
        stored.text = _as_json(payload.value, field)
    if is_plain_json(stored):
        read_json(stored, field)
    return stored


def readable(payload: payload_pb2.Payload, sealing: Sealing, field: str) -> payload_pb2.Payload:
    """Return the payload as the workflow will read it; refuses one that this runtime's codec cannot decode."""
    try:
        return sealing.open(payload)
    except SerializationError as error:
        raise invalid_field(field, str(error)) from None


def is_plain_json(payload: payload_pb2.Payload) -> bool:
    """Tell whether the body is JSON that we can read."""
    is_json = payload.content_type in ("", "application/json")
    return is_json and payload.WhichOneof("body") == "text" and not payload.content_encoding


def read_json(payload: payload_pb2.Payload, field: str) -> Any:
    """Parse the body; refuses with INVALID_FIELD when it is not JSON."""
    try:
        return json.loads(payload.text, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise invalid_field(field, f"expected JSON: {_short(str(error))}") from None


async def check_schema(payload: payload_pb2.Payload, schema: str, field: str) -> None:
    """Refuse a value that does not satisfy the schema of the hook, with the place in the value that does not.

    A schema that this library cannot use lets every value pass: the workflow validates again when it takes it.
    A large value is looked at in a thread, for it takes seconds and the runs held here must go on.
    """
    if not schema or payload.content_encoding:
        return
    if len(payload.text) <= _AT_ONCE_CHARS_MAX:
        _check_schema(payload, schema, field)
    else:
        await asyncio.to_thread(_check_schema, payload, schema, field)


def _check_schema(payload: payload_pb2.Payload, schema: str, field: str) -> None:
    if not is_plain_json(payload):
        raise invalid_field(field, "expected a JSON value: the hook has a schema")
    value = read_json(payload, field)
    validator = _validator(schema)
    if validator is None:
        return
    try:
        error = best_match(islice(validator.iter_errors(value), _ERRORS_COMPARED_MAX))
    except RecursionError:
        raise invalid_field(field, "is nested too deeply to be checked against the schema of the hook") from None
    if error is not None:
        raise invalid_field(field, f"{_path(error)}{_short(_what_is_wrong(error))}")


def _as_json(value: struct_pb2.Value, field: str) -> str:
    try:
        return json.dumps(json_format.MessageToDict(value), ensure_ascii=False, separators=(",", ":"))
    except ValueError as error:
        # A number that is none: google.protobuf.Value holds NaN and infinity, JSON does not.
        raise invalid_field(field, f"expected JSON: {_short(str(error))}") from None


@lru_cache(maxsize=1024)
def _validator(schema: str) -> Validator | None:
    """Build a validator once per schema: checking the schema itself takes longer than checking most values."""
    try:
        parsed = json.loads(schema)
        kind = validator_for(parsed, default=Draft202012Validator)
        kind.check_schema(parsed)
    except (SchemaError, ValueError):
        return None
    return kind(parsed)


def _path(error: ValidationError) -> str:
    path = "".join(f"[{part!r}]" for part in error.absolute_path)
    return f"{_short(path)}: " if path else ""


def _what_is_wrong(error: ValidationError) -> str:
    """Say what the schema asks for, not what came: the library's own messages quote the value."""
    if error.validator == "required":
        return str(error.message)
    asked = json.dumps(error.validator_value, ensure_ascii=False)
    return f"expected a value of type {asked}" if error.validator == "type" else f"breaks {error.validator}: {asked}"


def _short(text: str) -> str:
    return text if len(text) <= _MESSAGE_CHARS_MAX else text[: _MESSAGE_CHARS_MAX - 3] + "..."


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")
