"""Which servicers answer a call: those of the namespace that its credential names.

Owns the one place where a namespace is looked at. Each namespace has servicers of its own, made over a database of its
own, and a call is handed to those of its client; nothing behind them knows that there are others, so no rule can forget
to ask. Must never take the namespace from anything that a caller writes. Read ``security/guard.py`` for who the client
is, ``interceptors.py`` for who asks here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from holdfast.refusal import Refusal
from holdfast.security.clients import Client

#: What serves a method: a coroutine function, or one that returns an async generator.
Call = Callable[..., Any]

#: When a client of a server that does not know its namespace yet may come again.
_RETRY_AFTER_MS: Final = 500


class Servicers:
    """Collects servicers. ``add_…_to_server`` of the generated code takes it for a server."""

    def __init__(self) -> None:
        self.generic: list[Any] = []
        self.registered: dict[str, Mapping[str, Any]] = {}

    def add_generic_rpc_handlers(self, generic_rpc_handlers: Sequence[Any]) -> None:
        self.generic.extend(generic_rpc_handlers)

    def add_registered_method_handlers(self, service_name: str, method_handlers: Mapping[str, Any]) -> None:
        self.registered[service_name] = method_handlers

    def add_to(self, server: Any) -> None:
        """Register all with a gRPC server."""
        server.add_generic_rpc_handlers(tuple(self.generic))
        for name, handlers in self.registered.items():
            server.add_registered_method_handlers(name, handlers)

    def calls(self) -> dict[str, Call]:
        """Return full method name → what serves it."""
        return {
            f"/{service}/{name}": _call_of(handler)
            for service, handlers in self.registered.items()
            for name, handler in handlers.items()
        }


class Namespaces:
    """The namespaces of a server by name. ``open`` makes one reachable; until the first is, credentials find none."""

    def __init__(self, methods: Sequence[str]) -> None:
        #: What is served in namespaces; everything else, reflection, is the same for all.
        self._methods = frozenset(methods)
        self._opened: dict[str, Mapping[str, Call]] = {}

    def open(self, name: str, servicers: Servicers) -> None:
        """Serve a namespace from now on."""
        self._opened[name] = servicers.calls()

    def call_for(self, client: Client | None, method: str, registered: Call) -> Call:
        """Return what serves the method for a client; ``registered`` when nobody is asked who he is (None).

        Raises Refusal: PERMISSION_DENIED for a namespace that is not served here, NOT_READY while none is.
        """
        if client is None or method not in self._methods:
            return registered
        return self._calls_of(client)[method]

    def require(self, client: Client) -> None:
        """Raise what `call_for` raises."""
        self._calls_of(client)

    def _calls_of(self, client: Client) -> Mapping[str, Call]:
        found = self._opened.get(client.namespace)
        if found is not None:
            return found
        if not self._opened:
            raise Refusal(
                "NOT_READY",
                "this server does not know yet which namespace it serves: it waits for its store",
                retry_after_ms=_RETRY_AFTER_MS,
            )
        raise Refusal(
            "PERMISSION_DENIED",
            f"client {client.name!r} is of the namespace {client.namespace!r}, which this server does not serve: call "
            "one that does, or have it served (HOLDFAST_NAMESPACES at a store; a runtime's is that of its store "
            "credential)",
            metadata={"client": client.name, "namespace": client.namespace},
        )


def _call_of(handler: Any) -> Call:
    kinds = (handler.unary_unary, handler.unary_stream, handler.stream_unary, handler.stream_stream)
    (call,) = filter(None, kinds)
    found: Call = call
    return found
