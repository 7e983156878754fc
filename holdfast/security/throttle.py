"""How often and how much at once one client may call.

Owns a bucket of tokens and a count of open calls per client. A refusal says when to come again, and uses nothing up. A
client that has not called for long is forgotten: its bucket would be full. Off (0) means no limit. Must never let one
client's calls count for another. Read ``guard.py`` for who a client is.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

from holdfast.refusal import Refusal
from holdfast.v1 import error_pb2

#: Clients that are counted at once; beyond it those that rest are forgotten.
_CLIENTS_MAX: Final = 10_000

#: Milliseconds after which a client with too many open calls may try again.
_OPEN_RETRY_MS: Final = 200


@dataclass(slots=True)
class _Account:
    """What one client has left."""

    tokens: float
    counted_at: float
    open_calls: int = 0


class Throttle:
    """``rate`` calls a second on average, ``burst`` of them at once, ``open_max`` under way; 0 is no limit."""

    def __init__(
        self, *, rate: float = 0, burst: int = 0, open_max: int = 0, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._rate = rate
        self._burst = float(burst or max(1, round(rate)))
        self._open_max = open_max
        self._clock = clock
        self._accounts: dict[tuple[str, str], _Account] = {}

    @contextlib.contextmanager
    def taken(self, client: str, namespace: str = "") -> Iterator[None]:
        """Count a call for the time of the block. Raises Refusal THROTTLED with the time to wait.

        Clients of one name in two namespaces are two.
        """
        account = self._account((namespace, client))
        self._require_room(account, client)
        self._take_token(account, client)
        account.open_calls += 1
        try:
            yield
        finally:
            account.open_calls -= 1

    def _account(self, client: tuple[str, str]) -> _Account:
        now = self._clock()
        account = self._accounts.get(client)
        if account is None:
            if len(self._accounts) >= _CLIENTS_MAX:
                self._forget_resting(now)
            account = self._accounts[client] = _Account(self._burst, now)
        self._fill(account, now)
        return account

    def _fill(self, account: _Account, now: float) -> None:
        account.tokens = min(self._burst, account.tokens + (now - account.counted_at) * self._rate)
        account.counted_at = now

    def _forget_resting(self, now: float) -> None:
        for account in self._accounts.values():
            self._fill(account, now)
        resting = [name for name, it in self._accounts.items() if not it.open_calls and it.tokens >= self._burst]
        # With a limit on open calls alone nothing fills up: whoever has none open rests.
        resting = resting or [name for name, it in self._accounts.items() if not it.open_calls]
        for name in resting:
            del self._accounts[name]

    def _require_room(self, account: _Account, client: str) -> None:
        if self._open_max and account.open_calls >= self._open_max:
            raise _throttled(client, "open_calls", self._open_max, account.open_calls + 1, _OPEN_RETRY_MS)

    def _take_token(self, account: _Account, client: str) -> None:
        if not self._rate:
            return
        if account.tokens < 1:
            wait_ms = max(1, round((1 - account.tokens) / self._rate * 1000))
            raise _throttled(client, "calls_per_second", round(self._rate), 0, wait_ms)
        account.tokens -= 1


def _throttled(client: str, limit: str, maximum: int, actual: int, retry_after_ms: int) -> Refusal:
    detail = error_pb2.LimitExceeded(limit=limit, max=maximum, actual=actual)
    if limit == "calls_per_second":
        detail.window.FromSeconds(1)
    return Refusal(
        "THROTTLED",
        f"client {client!r} is over its limit of {maximum} {limit.replace('_', ' ')}; try again in {retry_after_ms} ms",
        metadata={"limit": limit, "max": maximum, "client": client},
        detail=detail,
        retry_after_ms=retry_after_ms,
    )
