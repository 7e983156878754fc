"""Codecs for the tests, in a file of their own, as a process finds them by name."""

from __future__ import annotations

from holdfast.codecs import AesGcm, Chain, Zstd

codec = Chain(Zstd(), AesGcm({"one": bytes(32)}, "one"))
rotated = Chain(Zstd(), AesGcm({"one": bytes(32), "two": bytes(range(32))}, "two"))
stranger = AesGcm({"one": bytes(range(32))}, "one")
