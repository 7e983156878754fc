"""Awaiting a call that must be refused; see ``take_apart`` in ``store.py`` for the reading of a status."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Any

import grpc
import pytest
from google.rpc import error_details_pb2

from tests.support.store import Refused, take_apart


async def refused(call: Awaitable[Any]) -> Refused:
    """Await a unary call that must be refused with a status of the contract, and read it."""
    with pytest.raises(grpc.RpcError) as caught:
        await call
    return take_apart(caught.value)


def fields(refusal: Refused) -> tuple[str, ...]:
    """The malformed fields that a refusal names."""
    assert refusal.info.reason == "INVALID_FIELD", refusal.message
    found = refusal.detail(error_details_pb2.BadRequest)
    return tuple(violation.field for violation in found.field_violations)
