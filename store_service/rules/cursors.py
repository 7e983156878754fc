"""Cursors and page tokens: positions that clients keep, and that mean nothing to them.

Owns their form: a kind, a position, and a checksum over both and over what it was issued for (a run; the filter of
a list). So a token that is malformed, cut, made up, or used for another request is INVALID_CURSOR, and never a
wrong page. They hold no secret and survive restarts. A cursor is a place *between* events: the one of seq 5 is
right after event 5.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from collections.abc import Sequence
from functools import lru_cache
from typing import Final

from google.protobuf.message import Message

from holdfast.refusal import Refusal

_RUN: Final = b"r"
_STORE: Final = b"s"
_PAGE: Final = b"p"
_CHECK_BYTES: Final = 8

Key = Sequence[int | str]


@lru_cache(maxsize=1024)  # every append asks for the one that the append before it gave out
def run_cursor(run_id: str, seq: int) -> str:
    """Return the cursor right after event ``seq`` of a run; 0 is the beginning."""
    return _issue(_RUN, run_id.encode(), _number(seq))


def read_run_cursor(cursor: str, run_id: str) -> int:
    """Return the seq of a cursor of this run. Raises Refusal INVALID_CURSOR for any other text."""
    return int.from_bytes(_read(_RUN, run_id.encode(), cursor), "big")


def store_cursor(position: int) -> str:
    """Return the cursor right after a store-wide position; 0 is the beginning."""
    return _issue(_STORE, b"", _number(position))


def read_store_cursor(cursor: str) -> int:
    """Return the position of a store-wide cursor. Raises Refusal INVALID_CURSOR for any other text."""
    return int.from_bytes(_read(_STORE, b"", cursor), "big")


def page_token(scope: bytes, key: Key) -> str:
    """Return the token of the page after the row ``key`` of the list that ``scope`` names."""
    return _issue(_PAGE, scope, json.dumps(list(key), separators=(",", ":")).encode())


def read_page_token(token: str, scope: bytes) -> list[int | str] | None:
    """Return the key of a page token, None for "" (the first page). Raises Refusal INVALID_CURSOR."""
    if not token:
        return None
    key: list[int | str] = json.loads(_read(_PAGE, scope, token))
    return key


def scope_of(request: Message) -> bytes:
    """Return what a list request asks for apart from where to go on: the fields that must not change between pages.

    The size and the view of a page may.
    """
    asked = type(request)()
    asked.CopyFrom(request)
    for name in ("page_token", "page_size", "view"):
        if name in asked.DESCRIPTOR.fields_by_name:
            asked.ClearField(name)
    return request.DESCRIPTOR.full_name.encode() + b"\0" + asked.SerializeToString(deterministic=True)


def invalid_cursor(why: str) -> Refusal:
    """Build the refusal of a cursor or page token."""
    return Refusal("INVALID_CURSOR", f"the cursor or page token was not issued for this request: {why}")


def _number(value: int) -> bytes:
    return value.to_bytes((value.bit_length() + 7) // 8, "big")


def _check(kind: bytes, scope: bytes, body: bytes) -> bytes:
    checked = len(scope).to_bytes(4, "big") + scope + body
    return hashlib.blake2b(checked, digest_size=_CHECK_BYTES, person=kind).digest()


def _issue(kind: bytes, scope: bytes, body: bytes) -> str:
    return base64.urlsafe_b64encode(kind + _check(kind, scope, body) + body).rstrip(b"=").decode()


def _read(kind: bytes, scope: bytes, text: str) -> bytes:
    try:
        raw = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError) as error:
        raise invalid_cursor("it is malformed") from error
    check, body = raw[1 : 1 + _CHECK_BYTES], raw[1 + _CHECK_BYTES :]
    if raw[:1] != kind or check != _check(kind, scope, body):
        raise invalid_cursor("it belongs to another run or list, or was changed on the way")
    return body
