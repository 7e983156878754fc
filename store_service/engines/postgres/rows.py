"""What PostgreSQL stores in another type than the contract has it: text that may hold a NUL goes as bytes.

Owns the rows of messages on the way in and out. Everything else is in ``engines/sql/columns.py``. It must never
interpret a ``body``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from store_service.engines.contract import MessageRow
from store_service.engines.sql import columns

_values_of_message: Final = columns.parameters(columns.MESSAGE)
#: ``last_reason`` comes right before ``body`` and ``checksum``, the last ones.
_LAST_REASON: Final = -3


def message_parameters(row: MessageRow) -> tuple[Any, ...]:
    """Return the values of MESSAGE."""
    return _with_bytes(_values_of_message(row))


def put_message_parameters(row: MessageRow) -> tuple[Any, ...]:
    """Return the values of PUT_MESSAGE up to ``checksum``."""
    return _with_bytes(columns.put_message_parameters(row))


def message_row(values: Sequence[Any]) -> MessageRow:
    """Build a message from the columns MESSAGE."""
    row = list(values)
    row[_LAST_REASON] = row[_LAST_REASON].decode()
    return columns.message_row(row)


def _with_bytes(values: Sequence[Any]) -> tuple[Any, ...]:
    *before, last_reason, body, checksum = values
    return (*before, last_reason.encode(), body, checksum)
