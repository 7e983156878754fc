"""Where a codec is applied: to every value in a message on its way out and on its way in.

Owns the walk over a message, whatever its kind, so that no value is forgotten when the contract grows; and the codec
that the environment names. What a failure says is a value too, for errors quote what the code worked on. A message is
never changed: one that has something to change is copied first. Read ``holdfast/codecs.py`` for the codecs.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Any, Final, TypeVar

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message

from holdfast.codecs import Codec
from holdfast.errors import LoadFailed, SerializationError
from holdfast.loading import load_module
from holdfast.v1 import payload_pb2

M = TypeVar("M", bound=Message)

#: Names the codec of a process: "module:object" or "path/file.py:object".
VARIABLE: Final = "HOLDFAST_CODEC"

Payload = payload_pb2.Payload
Failure = payload_pb2.Failure

#: Media type of what a failure says, once it is folded into a value.
_FOLDED: Final = "application/vnd.holdfast.failure"

#: What a failure says to those who cannot decode it.
_HIDDEN: Final = "encoded"


class Sealing:
    """Applies a codec, or nothing when there is none."""

    def __init__(self, codec: Codec | None = None) -> None:
        self._codec = codec

    def seal(self, message: M) -> M:
        """Return the message with every value encoded that is not encoded yet."""
        codec = self._codec
        if codec is None:
            return message
        return _changed(message, _is_open, codec.encode, failures=(_is_told, _fold), first=True)

    def open(self, message: M) -> M:
        """Return the message with every value decoded. Raises SerializationError that says why one cannot be.

        Without a codec an encoded value stays as it is, and is refused by whoever wants to read it.
        """
        codec = self._codec
        if codec is None:
            return message
        return _changed(message, _is_sealed, codec.decode, failures=(_is_folded, _unfold), first=False)


def named_codec(name: str | None = None) -> Codec | None:
    """Return the codec of a name, by default that in HOLDFAST_CODEC; None when there is none. Raises LoadFailed."""
    found = os.environ.get(VARIABLE, "") if name is None else name
    if not found:
        return None
    module, _, attribute = found.rpartition(":")
    if not module:
        raise LoadFailed(f"a codec is named as module:object, got {found!r}")
    codec = getattr(load_module(module), attribute, None)
    if not callable(getattr(codec, "encode", None)) or not callable(getattr(codec, "decode", None)):
        raise LoadFailed(f"{found!r} is no codec: it needs encode(payload) and decode(payload)")
    return codec


def _changed(
    message: M,
    is_meant: Callable[[Payload], bool],
    change: Callable[[Payload], Payload],
    *,
    failures: tuple[Callable[[Failure], bool], Callable[[Failure], None]],
    first: bool,
) -> M:
    """Return the message, or a copy in which values are changed, and failures before (``first``) or after them."""
    is_meant_failure, change_failure = failures
    if not any(map(is_meant, _values(message))) and not any(map(is_meant_failure, _failures(message))):
        return message
    copy = type(message)()
    copy.CopyFrom(message)
    if first:
        _change_failures(copy, is_meant_failure, change_failure)
    for payload in _values(copy):
        if is_meant(payload):
            payload.CopyFrom(_checked(change(payload)))
    if not first:
        _change_failures(copy, is_meant_failure, change_failure)
    return copy


def _change_failures(
    message: Message, is_meant: Callable[[Failure], bool], change_failure: Callable[[Failure], None]
) -> None:
    for failure in list(_failures(message)):
        if is_meant(failure):
            change_failure(failure)


def _checked(changed: object) -> Payload:
    if not isinstance(changed, Payload):
        raise SerializationError(f"the codec returned {changed!r} instead of a payload")
    return changed


def _is_open(payload: Payload) -> bool:
    return not payload.content_encoding


def _is_sealed(payload: Payload) -> bool:
    return bool(payload.content_encoding)


def _is_told(failure: Failure) -> bool:
    return failure.details.content_type != _FOLDED and bool(failure.message or failure.stack_trace)


def _is_folded(failure: Failure) -> bool:
    return failure.details.content_type == _FOLDED


def _fold(failure: Failure) -> None:
    """Put what an error says, and where, into a value: both may quote what the code worked on."""
    said = Failure(message=failure.message, stack_trace=failure.stack_trace)
    if failure.HasField("details"):
        said.details.CopyFrom(failure.details)
    failure.message, failure.stack_trace = _HIDDEN, ""
    failure.details.CopyFrom(Payload(content_type=_FOLDED, data=said.SerializeToString(deterministic=True)))


def _unfold(failure: Failure) -> None:
    if failure.details.content_encoding or failure.details.WhichOneof("body") is None:
        return
    said = Failure.FromString(failure.details.data)
    failure.message, failure.stack_trace = said.message, said.stack_trace
    failure.ClearField("details")
    if said.HasField("details"):
        failure.details.CopyFrom(said.details)


def _values(message: Message) -> Iterator[Payload]:
    """Find every value in a message, at any depth; a body that was left out of an answer is none."""
    for found in _parts(message):
        if isinstance(found, Payload) and found.WhichOneof("body") is not None:
            yield found


def _failures(message: Message) -> Iterator[Failure]:
    """Find every failure in a message, at any depth, causes included."""
    for found in _parts(message):
        if isinstance(found, Failure):
            yield found


def _parts(message: Message) -> Iterator[Message]:
    if isinstance(message, Payload | Failure):
        yield message
    for name, is_many in _ways(message.DESCRIPTOR):
        if is_many:
            for part in getattr(message, name):
                yield from _parts(part)
        elif message.HasField(name):
            yield from _parts(getattr(message, name))


@lru_cache(maxsize=1024)
def _ways(descriptor: Descriptor) -> tuple[tuple[str, bool], ...]:
    """Return the fields of a message that can lead to a value, and whether each is repeated."""
    return tuple((it.name, it.is_repeated) for it in descriptor.fields if _leads_to_payload(it, frozenset()))


def _leads_to_payload(field: FieldDescriptor, seen: frozenset[str]) -> bool:
    kind: Any = field.message_type
    if kind is None or kind.GetOptions().map_entry or kind.full_name in seen:
        return False
    if kind.full_name in (Payload.DESCRIPTOR.full_name, Failure.DESCRIPTOR.full_name):
        return True
    return any(_leads_to_payload(it, seen | {kind.full_name}) for it in kind.fields)
