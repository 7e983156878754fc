"""When an attempt has had enough time: the attempt's bound, the bound on all attempts, and its silence.

Pure arithmetic on one monotonic clock in milliseconds, so that a wall clock that jumps never ends an attempt. A
heartbeat may come from any thread: it is one assignment. Read ``runner.py`` for who waits.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from holdfast.definitions import StepDefinition


class Deadlines:
    """The deadlines of one attempt. All readings come from ``monotonic_ms``.

    ``total_left_ms`` is what is left of the bound on all attempts at this moment, None when there is none.
    """

    def __init__(
        self, definition: StepDefinition, *, total_left_ms: int | None, monotonic_ms: Callable[[], float]
    ) -> None:
        self._monotonic_ms = monotonic_ms
        self._attempt_ms = definition.timeout_ms
        self._heartbeat_ms = definition.heartbeat_timeout_ms
        self._total_at = None if total_left_ms is None else monotonic_ms() + total_left_ms
        self._began_at: float | None = None
        self._heard_at = 0.0

    def begin(self) -> None:
        """The body begins now. Until then only the total bound counts: waiting for a thread is nobody's fault."""
        self._began_at = self._heard_at = self._monotonic_ms()

    def hear(self) -> None:
        """The body gave a sign of life. Safe from any thread."""
        self._heard_at = self._monotonic_ms()

    @property
    def exist(self) -> bool:
        """Whether there is any deadline to watch for."""
        return self._total_at is not None or self._attempt_ms is not None or self._heartbeat_ms is not None

    @property
    def left_ms(self) -> float | None:
        """Milliseconds until the next deadline, as things stand; None when there is none. Never negative."""
        times = [at for _, at in self._all()]
        return max(0.0, min(times) - self._monotonic_ms()) if times else None

    @property
    def passed(self) -> str | None:
        """The kind of the earliest deadline that has passed: "attempt", "total" or "heartbeat"; None when none has."""
        now = self._monotonic_ms()
        gone = [(at, kind) for kind, at in self._all() if at <= now]
        return min(gone)[1] if gone else None

    def _all(self) -> Iterator[tuple[str, float]]:
        if self._total_at is not None:
            yield "total", self._total_at
        if self._began_at is None:
            return
        if self._attempt_ms is not None:
            yield "attempt", self._began_at + self._attempt_ms
        if self._heartbeat_ms is not None:
            yield "heartbeat", self._heard_at + self._heartbeat_ms
