"""A refusal: how a rule says no, before any transport is involved.

Owns the one exception that rules of both services raise for an answer of the contract's error table,
and the table itself, read from the options of ``ErrorReason`` in ``error.proto`` so that server, client and
docs come from one place. It must never import grpc: turning a refusal into a status is
``holdfast/wire.py``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from google.protobuf.message import Message

from holdfast.v1 import error_pb2

_PREFIX: Final = "ERROR_REASON_"


def _read_specs() -> dict[str, error_pb2.ErrorSpec]:
    values = error_pb2.ErrorReason.DESCRIPTOR.values
    return {
        value.name.removeprefix(_PREFIX): value.GetOptions().Extensions[error_pb2.error]
        for value in values
        if value.number != 0
    }


#: Reason (without the ``ERROR_REASON_`` prefix) → status code, retry advice and typed detail.
SPECS: Final[Mapping[str, error_pb2.ErrorSpec]] = MappingProxyType(_read_specs())


@dataclass(frozen=True, slots=True)
class FieldViolation:
    """One malformed field: its path in the request (``event.step_created.step_name``) and what is wrong."""

    field: str
    description: str


class Refusal(Exception):
    """A request that is answered with an error of the contract, and that changed nothing.

    ``reason`` is a key of ``SPECS``; ``metadata`` holds every id and number that the message mentions;
    ``detail`` is the typed message that the reason names; ``violations`` go with INVALID_FIELD;
    ``retry_after_ms`` becomes a RetryInfo.
    """

    def __init__(
        self,
        reason: str,
        message: str,
        *,
        metadata: Mapping[str, object] | None = None,
        detail: Message | None = None,
        violations: Sequence[FieldViolation] = (),
        retry_after_ms: int | None = None,
    ) -> None:
        assert reason in SPECS, reason
        super().__init__(message)
        self.reason = reason
        self.message = message
        self.metadata = {key: str(value) for key, value in (metadata or {}).items()}
        self.detail = detail
        self.violations = tuple(violations)
        self.retry_after_ms = retry_after_ms


def invalid_field(field: str, description: str, **metadata: object) -> Refusal:
    """Build the refusal of one malformed field; the message names the field and what was expected."""
    return Refusal(
        "INVALID_FIELD",
        f"{field}: {description}",
        metadata=metadata,
        violations=[FieldViolation(field, description)],
    )
