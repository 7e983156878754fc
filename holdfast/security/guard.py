"""Around a call: who is it, may it, and is it too much? Then the call runs, and a stream no longer than it may.

Owns the order of the checks (credentials, the namespace that was counted on, roles, limits) and the end of streams
whose credentials end: a stream may last for days, so it is looked at again every second. Whoever fails to show
credentials is counted by address. A server without any of these options has no guard, and its calls pay nothing for
it. Read ``access.py`` and ``throttle.py`` for the decisions.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from holdfast.refusal import Refusal
from holdfast.security.access import Access, Metadata, bearer_token
from holdfast.security.clients import Client
from holdfast.security.namespaces import EXPECTED
from holdfast.security.throttle import Throttle

Answer = TypeVar("Answer")

#: Counts one call while its block lasts. Raises Refusal THROTTLED.
Counting = Callable[[], contextlib.AbstractContextManager[None]]

#: Seconds between two looks at the credentials of open streams.
LOOK_SECONDS: Final = 1.0

#: Where gRPC keeps the names of a client certificate.
_CERTIFICATE_NAMES: Final = ("x509_subject_alternative_name", "x509_common_name")

_COUNTING: Final[ContextVar[Counting]] = ContextVar("holdfast_counting", default=contextlib.nullcontext)


def counting() -> Counting:
    """Return what counts a call more for the client of the stream under way, which carries calls of its own."""
    return _COUNTING.get()


@dataclass(frozen=True, slots=True)
class _Shown:
    """What came with a call: token, names of a certificate, the namespace that is counted on ("" for any)."""

    method: str
    token: str = ""
    names: Sequence[str] = ()
    namespace: str = ""


class Guard:
    """Lets calls in. Without ``access`` clients are told apart by their address only; without ``throttle`` no limit."""

    def __init__(self, access: Access | None, throttle: Throttle | None) -> None:
        self._access = access
        self._throttle = throttle
        #: Open streams: the scope that ends one → what came with it, and whose it is.
        self._streams: dict[asyncio.Timeout, tuple[_Shown, Client]] = {}
        self._looking: asyncio.TimerHandle | None = None

    async def run(
        self, method: str, context: Any, call: Callable[[Client | None], Awaitable[Answer]], *, is_stream: bool
    ) -> Answer:
        """Run a call that is let in, with its client. Raises Refusal: UNAUTHENTICATED, PERMISSION_DENIED, THROTTLED."""
        shown = self._shown(method, context)
        try:
            client = self._identified(shown)
        except Refusal:
            with self._counted(None, context):
                raise
        with self._counted(client, context):
            if not is_stream:
                return await call(client)
            if self._throttle is not None:
                # Every call has a task of its own, so this ends with it.
                _COUNTING.set(lambda: self._counted(client, context))
            return await call(client) if client is None else await self._while_valid(shown, client, call)

    def _shown(self, method: str, context: Any) -> _Shown:
        if self._access is None:
            return _Shown(method)
        metadata: Metadata = context.invocation_metadata() or ()
        token = bearer_token(metadata)
        names = () if token or not self._access.knows_certificates else _certificate_names(context)
        return _Shown(method, token, names, _expected(metadata))

    def _identified(self, shown: _Shown) -> Client | None:
        if self._access is None:
            return None
        client = self._access.client_of(shown.token, shown.names)
        if shown.namespace and shown.namespace != client.namespace:
            raise _of_another_namespace(shown.namespace, client)
        self._access.require(client, shown.method)
        return client

    def _counted(self, client: Client | None, context: Any) -> contextlib.AbstractContextManager[None]:
        if self._throttle is None:
            return contextlib.nullcontext()
        if client is None:
            return self._throttle.taken(_host_of(context.peer()))
        return self._throttle.taken(client.name, client.namespace)

    async def _while_valid(
        self, shown: _Shown, client: Client, call: Callable[[Client | None], Awaitable[Answer]]
    ) -> Answer:
        scope = asyncio.timeout(None)
        try:
            async with scope:
                with self._kept(scope, shown, client):
                    return await call(client)
        except TimeoutError:
            if not scope.expired():
                raise
        raise Refusal("UNAUTHENTICATED", "the credentials of the stream have ended; open it again with new ones")

    @contextlib.contextmanager
    def _kept(self, scope: asyncio.Timeout, shown: _Shown, client: Client) -> Iterator[None]:
        self._streams[scope] = shown, client
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
        for scope, (shown, client) in self._streams.items():
            if not self._is_still(shown, client) and not scope.expired():
                scope.reschedule(now)
        if self._streams:
            self._look_later()

    def _is_still(self, shown: _Shown, client: Client) -> bool:
        """Whether a stream may go on: its credential is good, and still of the namespace that it reads."""
        try:
            found = self._identified(shown)
        except Refusal:
            return False
        return found is not None and found.namespace == client.namespace


def _expected(metadata: Metadata) -> str:
    for key, value in metadata:
        if key == EXPECTED:
            return value.decode("latin-1") if isinstance(value, bytes) else value
    return ""


def _of_another_namespace(expected: str, client: Client) -> Refusal:
    return Refusal(
        "PERMISSION_DENIED",
        f"the call is meant for the namespace {expected[:64]!r}, but its credential, of client {client.name!r}, is of "
        f"{client.namespace!r}; use a credential of the former, or start the runtime again that is to change over",
        metadata={"client": client.name, "namespace": client.namespace, "expected": expected[:64]},
    )


def _certificate_names(context: Any) -> list[str]:
    shown = context.auth_context()
    return [name.decode("utf-8", "replace") for key in _CERTIFICATE_NAMES for name in shown.get(key, ())]


def _host_of(peer: str) -> str:
    """Return the host of a peer ("ipv4:10.0.0.7:51234"): ports change with every connection."""
    return peer.rpartition(":")[0] or peer
