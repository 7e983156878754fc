"""Codecs: what happens to values between a program and the store, which never looks inside.

Owns the protocol and three codecs: ``Zstd``, ``AesGcm``, and ``Chain`` of several. A codec changes the body of a
payload, never the value, and adds its coding to ``content_encoding``; one that meets a payload under another coding
leaves it as it is. Equal values must give equal bytes: the store tells a repeat from a mistake by them, see
docs/decisions/0015-equal-values-are-equal-when-encoded.md. Where codecs are applied is ``holdfast/sealing.py``.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from typing import Any, Final, Protocol

from holdfast.errors import SerializationError
from holdfast.v1 import payload_pb2

Payload = payload_pb2.Payload

#: Bytes that a value may take after decompression; a small body that claims more is an attack or an accident.
DECOMPRESSED_BYTES_MAX: Final = 64 * 1024 * 1024

_NONCE_BYTES: Final = 12
_KEY_BYTES: Final = (16, 24, 32)


class Codec(Protocol):
    """Changes bodies of payloads. Payloads are not to be changed in place."""

    def encode(self, payload: Payload) -> Payload:
        """Return the payload under this coding, or as it is when the coding would not help. Deterministic."""

    def decode(self, payload: Payload) -> Payload:
        """Undo ``encode``. A payload whose last coding is another one is returned as it is.

        Raises SerializationError for what cannot be decoded, in words that name the reason and no secret.
        """


class Chain:
    """Several codecs, applied in order and undone in the opposite one: ``Chain(Zstd(), AesGcm(…))``."""

    def __init__(self, *codecs: Codec) -> None:
        self._codecs = codecs

    def encode(self, payload: Payload) -> Payload:
        """Apply each codec."""
        for codec in self._codecs:
            payload = codec.encode(payload)
        return payload

    def decode(self, payload: Payload) -> Payload:
        """Undo each codec, as far as it was applied."""
        for codec in reversed(self._codecs):
            payload = codec.decode(payload)
        return payload


class Zstd:
    """Compression, for bodies of ``bytes_min`` bytes and more, when it makes them smaller.

    Needs the extra ``holdfast[zstd]``; raises ImportError without it.
    """

    coding: Final = "zstd"

    def __init__(self, *, level: int = 3, bytes_min: int = 512) -> None:
        import zstandard

        self._zstandard = zstandard
        self._level = level
        self._bytes_min = bytes_min

    def encode(self, payload: Payload) -> Payload:
        """Compress the body."""
        body = body_of(payload)
        if body is None or len(body) < self._bytes_min:
            return payload
        small = self._zstandard.ZstdCompressor(level=self._level).compress(body)
        return encoded(payload, small, self.coding) if len(small) < len(body) else payload

    def decode(self, payload: Payload) -> Payload:
        """Decompress the body."""
        if last_coding(payload) != self.coding:
            return payload
        try:
            size = self._zstandard.get_frame_parameters(payload.data).content_size
            if size > DECOMPRESSED_BYTES_MAX:
                raise SerializationError(
                    f"a value would take {size} bytes when decompressed, at most {DECOMPRESSED_BYTES_MAX} are accepted"
                )
            return decoded(payload, self._zstandard.ZstdDecompressor().decompress(payload.data))
        except self._zstandard.ZstdError as error:
            raise SerializationError(f"a value cannot be decompressed: {error}") from None


class AesGcm:
    """Encryption with AES-GCM. ``keys`` are 16, 24 or 32 bytes each, by id; ``key_id`` is the one that encrypts.

    To rotate, add a key and name it in ``key_id`` once every process has it; keep the old one as long as values under
    it are read. The id of the key stands beside the value in the clear, as do its media type and its size. Equal values
    under one key are equal when encrypted; nothing else is told. Needs the extra ``holdfast[crypto]``.
    """

    coding: Final = "aes256gcm"

    #: Key in a payload's metadata: which key decrypts it.
    key_id_name: Final = "aes256gcm-key"

    def __init__(self, keys: Mapping[str, bytes], key_id: str) -> None:
        from cryptography.exceptions import InvalidTag
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        if key_id not in keys:
            raise ValueError(f"key_id must be one of {', '.join(keys)}, got {key_id!r}")
        for name, key in keys.items():
            if not isinstance(key, bytes) or len(key) not in _KEY_BYTES:
                raise ValueError(f"the key {name!r} must be 16, 24 or 32 bytes")
        self._ciphers = {name: AESGCM(key) for name, key in keys.items()}
        self._key_id = key_id
        self._nonce_key = hmac.digest(keys[key_id], b"holdfast: nonces of values", hashlib.sha256)
        self._invalid_tag: Any = InvalidTag

    def encode(self, payload: Payload) -> Payload:
        """Encrypt the body."""
        body = body_of(payload)
        if body is None:
            return payload
        bound = _bound(payload, self._key_id)
        nonce = hmac.digest(self._nonce_key, _framed(bound, body), hashlib.sha256)[:_NONCE_BYTES]
        sealed = encoded(payload, nonce + self._ciphers[self._key_id].encrypt(nonce, body, bound), self.coding)
        sealed.metadata[self.key_id_name] = self._key_id
        return sealed

    def decode(self, payload: Payload) -> Payload:
        """Decrypt the body."""
        if last_coding(payload) != self.coding:
            return payload
        key_id = payload.metadata.get(self.key_id_name, "")
        if key_id not in self._ciphers:
            raise SerializationError(
                f"a value is encrypted with the key {key_id!r}, which this process does not have "
                f"(it has {', '.join(self._ciphers)})"
            )
        opened = decoded(payload, b"")
        del opened.metadata[self.key_id_name]
        nonce, text = payload.data[:_NONCE_BYTES], payload.data[_NONCE_BYTES:]
        try:
            return with_body(opened, self._ciphers[key_id].decrypt(nonce, text, _bound(opened, key_id)))
        except (self._invalid_tag, ValueError):
            raise SerializationError(
                f"a value cannot be decrypted with the key {key_id!r}: another key has that id here, or the value was "
                "changed on its way"
            ) from None


def body_of(payload: Payload) -> bytes | None:
    """Return the body as bytes; None when there is no value to encode."""
    kind = payload.WhichOneof("body")
    if kind is None or kind == "value":
        return None
    return payload.text.encode() if kind == "text" else payload.data


def last_coding(payload: Payload) -> str:
    """Return the coding that was applied last, "" for none or when the body was left out."""
    if payload.WhichOneof("body") is None:
        return ""
    return payload.content_encoding.rpartition(",")[2].strip()


def encoded(payload: Payload, body: bytes, coding: str) -> Payload:
    """Return a copy with another body, under one coding more."""
    copy = _copy(payload)
    copy.data = body
    copy.content_encoding = f"{payload.content_encoding},{coding}" if payload.content_encoding else coding
    return copy


def decoded(payload: Payload, body: bytes) -> Payload:
    """Return a copy with another body, under one coding less; what is textual becomes text again."""
    copy = _copy(payload)
    copy.content_encoding = payload.content_encoding.rpartition(",")[0].strip()
    return with_body(copy, body)


def with_body(payload: Payload, body: bytes) -> Payload:
    """Set the body, in the form that it is stored in without a codec. Raises SerializationError for broken text."""
    if payload.content_encoding or not _is_textual(payload.content_type):
        payload.data = body
        return payload
    try:
        payload.text = body.decode()
    except UnicodeDecodeError:
        raise SerializationError("a decoded value is not the text that its media type says") from None
    return payload


def _is_textual(content_type: str) -> bool:
    kind = content_type.partition(";")[0].strip().lower()
    return kind in ("", "application/json") or kind.startswith("text/") or kind.endswith("+json")


def _copy(payload: Payload) -> Payload:
    copy = Payload()
    copy.CopyFrom(payload)
    copy.size_bytes = 0
    return copy


def _bound(payload: Payload, key_id: str) -> bytes:
    """What a value cannot be separated from: its media type, the codings below and its key."""
    return "\n".join((payload.content_type, payload.content_encoding, key_id)).encode()


def _framed(bound: bytes, body: bytes) -> bytes:
    return len(bound).to_bytes(8, "big") + bound + body
