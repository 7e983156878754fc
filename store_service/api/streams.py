"""Open streams: how many there may be, and how they learn that the server drains.

Not the byte streams of runs: those are ``stream_reading.py``. Owns the count of watches, consumers and such readers
(beyond ``most``: THROTTLED), how much each is given at once, and the one announcement that ends them. Must never cut a
stream off: each says its own goodbye, ``holdfast/serving.py`` waits for that and only then stops the server.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from holdfast.refusal import Refusal
from holdfast.v1 import error_pb2
from store_service import limits

#: When a caller that was one stream too many may try again.
_RETRY_AFTER_MS: Final = 1_000


class Streams:
    """The open streams of a server. ``deadline_ms`` is when a draining server ends them; None while it serves."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._open: dict[object, Callable[[], None]] = {}
        self.deadline_ms: int | None = None

    @property
    def is_draining(self) -> bool:
        return self.deadline_ms is not None

    @property
    def share_bytes(self) -> int:
        """How many bytes one stream may be given at once. Proof: tests/load/test_stalled_readers.py"""
        share = limits.STREAMS_BYTES_MAX // max(1, len(self._open))
        return max(limits.STREAM_SHARE_BYTES_MIN, min(limits.PAGE_BYTES_MAX, share))

    @contextmanager
    def open(self, on_drain: Callable[[], None]) -> Iterator[None]:
        """Count a stream while the block lasts; ``on_drain`` is called when the server drains. Raises THROTTLED."""
        if len(self._open) >= self._most:
            raise self._too_many()
        stream = object()
        self._open[stream] = on_drain
        try:
            yield
        finally:
            del self._open[stream]

    def drain(self, deadline_ms: int) -> None:
        """Tell every stream to end before ``deadline_ms``."""
        self.deadline_ms = deadline_ms
        for on_drain in list(self._open.values()):
            on_drain()

    def _too_many(self) -> Refusal:
        count = len(self._open)
        return Refusal(
            "THROTTLED",
            f"{count} watches and consumers are open, at most {self._most} may be; close one or try again later",
            metadata={"open": count, "max": self._most},
            detail=error_pb2.LimitExceeded(limit="streams", max=self._most, actual=count + 1),
            retry_after_ms=_RETRY_AFTER_MS,
        )
