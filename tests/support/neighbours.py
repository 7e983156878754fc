"""A plugin of pytest: every store in this process has a second namespace, in which each unary call is made first.

    pytest -p tests.support.neighbours tests/store_api

So run ids, tokens, queues, keys and request ids of the tests exist twice in one process, side by side, and whatever
the process shares between two namespaces without meaning to (a table, a cache, a counter, a bell) makes a test fail
that passes alone. Owns the second namespace and the copying; what is expected is said by the tests that run.
"""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from holdfast.dispatch import Namespaces
from holdfast.refusal import Refusal
from holdfast.security.clients import Client
from store_service import namespaces, server
from store_service.api.clock import Clock
from store_service.engines.contract import Engine
from store_service.namespaces import PartsByName
from store_service.settings import StoreSettings

NEIGHBOUR = "neighbour"

#: Calls made next door: answered, refused.
_made = {"answered": 0, "refused": 0}


@pytest.fixture(autouse=True)
def _neighbours() -> Iterator[None]:
    patch = pytest.MonkeyPatch()
    patch.setattr(server, "open_namespaces", _open_with_neighbour)
    patch.setattr(Namespaces, "call_for", _call_both(Namespaces.call_for))
    yield
    patch.undo()


async def _open_with_neighbour(settings: StoreSettings, clock: Clock | None, engine: Engine | None) -> PartsByName:
    opened = dict(await namespaces.open_namespaces(settings, clock, engine))
    url = f"{settings.database}.{NEIGHBOUR}"
    opened[NEIGHBOUR] = await namespaces._opened(NEIGHBOUR, url, settings, clock, None)
    return opened


def _call_both(call_for: Callable[..., Any]) -> Callable[..., Any]:
    def both_for(self: Namespaces, client: Client | None, method: str, registered: Any) -> Any:
        call = call_for(self, client, method, registered)
        next_door = self._opened.get(NEIGHBOUR, {}).get(method)
        # Streams are not copied: what they say belongs to whoever reads them.
        if next_door is None or not inspect.iscoroutinefunction(call):
            return call

        async def both(request: Any, context: Any) -> Any:
            if not hasattr(request, "__aiter__"):
                await _call_next_door(next_door, request, context)
            return await call(request, context)

        return both

    return both_for


async def _call_next_door(call: Any, request: Any, context: Any) -> None:
    copy = type(request)()
    copy.CopyFrom(request)
    with contextlib.suppress(ValueError):
        # Nobody waits for messages twice.
        copy.ClearField("wait")
    try:
        await call(copy, context)
        _made["answered"] += 1
    except Refusal:
        _made["refused"] += 1


def pytest_terminal_summary(terminalreporter: Any) -> None:
    terminalreporter.write_line(f"next door: {_made['answered']} calls answered, {_made['refused']} refused")
