"""Around a call: who is it, may it, and is it too much? Then the call runs, and a stream no longer than it may.

Owns the order of the checks (credentials, roles, limits) and the end of streams whose credentials end: a stream may
last for days, so it is looked at again every second. Whoever fails to show credentials is counted by address.
A server without any of these options has no guard, and its calls pay nothing for it. Read ``access.py`` and
``throttle.py`` for the decisions.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import Any, Final, TypeVar

from holdfast.refusal import Refusal
from holdfast.security.access import Access, bearer_token
from holdfast.security.clients import Client
from holdfast.security.throttle import Throttle

Answer = TypeVar("Answer")

#: Seconds between two looks at the credentials of open streams.
LOOK_SECONDS: Final = 1.0

#: Where gRPC keeps the names of a client certificate.
_CERTIFICATE_NAMES: Final = ("x509_subject_alternative_name", "x509_common_name")


class Guard:
    """Lets calls in. Without ``access`` clients are told apart by their address only; without ``throttle`` no limit."""

    def __init__(self, access: Access | None, throttle: Throttle | None) -> None:
        self._access = access
        self._throttle = throttle
        #: Open streams: the scope that ends one → its method, token and names.
        self._streams: dict[asyncio.Timeout, tuple[str, str, Sequence[str]]] = {}
        self._looking: asyncio.TimerHandle | None = None

    async def run(self, method: str, context: Any, call: Callable[[], Awaitable[Answer]], *, is_stream: bool) -> Answer:
        """Run a call that is let in. Raises Refusal: UNAUTHENTICATED, PERMISSION_DENIED, THROTTLED."""
        token, names = self._shown(context)
        try:
            client = self._identified(method, token, names)
        except Refusal:
            with self._counted(_host_of(context.peer())):
                raise
        with self._counted(client.name if client is not None else _host_of(context.peer())):
            if not is_stream or self._access is None:
                return await call()
            return await self._while_valid((method, token, names), call)

    def _shown(self, context: Any) -> tuple[str, Sequence[str]]:
        if self._access is None:
            return "", ()
        token = bearer_token(context.invocation_metadata() or ())
        return token, () if token or not self._access.knows_certificates else _certificate_names(context)

    def _identified(self, method: str, token: str, names: Sequence[str]) -> Client | None:
        if self._access is None:
            return None
        client = self._access.client_of(token, names)
        self._access.require(client, method)
        return client

    def _counted(self, client: str) -> contextlib.AbstractContextManager[None]:
        return self._throttle.taken(client) if self._throttle is not None else contextlib.nullcontext()

    async def _while_valid(
        self, shown: tuple[str, str, Sequence[str]], call: Callable[[], Awaitable[Answer]]
    ) -> Answer:
        scope = asyncio.timeout(None)
        try:
            async with scope:
                with self._kept(scope, shown):
                    return await call()
        except TimeoutError:
            if not scope.expired():
                raise
        raise Refusal("UNAUTHENTICATED", "the credentials of the stream have ended; open it again with new ones")

    @contextlib.contextmanager
    def _kept(self, scope: asyncio.Timeout, shown: tuple[str, str, Sequence[str]]) -> Iterator[None]:
        self._streams[scope] = shown
        if self._looking is None:
            self._look_later()
        try:
            yield
        finally:
            del self._streams[scope]

    def _look_later(self) -> None:
        self._looking = asyncio.get_running_loop().call_later(LOOK_SECONDS, self._look)

    def _look(self) -> None:
        self._looking = None
        now = asyncio.get_running_loop().time()
        for scope, shown in self._streams.items():
            try:
                self._identified(*shown)
            except Refusal:
                if not scope.expired():
                    scope.reschedule(now)
        if self._streams:
            self._look_later()


def _certificate_names(context: Any) -> list[str]:
    shown = context.auth_context()
    return [name.decode("utf-8", "replace") for key in _CERTIFICATE_NAMES for name in shown.get(key, ())]


def _host_of(peer: str) -> str:
    """Return the host of a peer ("ipv4:10.0.0.7:51234"): ports change with every connection."""
    return peer.rpartition(":")[0] or peer
