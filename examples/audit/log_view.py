"""Follows the log of one run at the store, shows it while it grows, and lets the demo wait for what it needs to see.

In a terminal the newest lines are drawn in place with rich; elsewhere each event is one plain line. Reads only.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from typing import Any, Final

import grpc
from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from holdfast.cli.rendering import event_kind, event_line
from holdfast.v1 import event_pb2, store_service_pb2, store_service_pb2_grpc

#: Lines of the log in view in a terminal.
_LINES: Final = 18

_COLOURS: Final = {"run": "bold green", "step": "cyan", "hook": "magenta", "wait": "yellow"}


class LogView:
    """``events`` is the log so far, dense. ``until`` waits for a condition on it."""

    def __init__(self, console: Console) -> None:
        self.events: list[event_pb2.Event] = []
        self._console = console
        self._lines: list[Text] = []
        self._grown = asyncio.Condition()
        self._live = Live(console=console, refresh_per_second=12, get_renderable=self._draw)

    def __enter__(self) -> LogView:
        if self._console.is_terminal:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._console.is_terminal:
            self._live.stop()

    def say(self, sentence: str) -> None:
        """Show what the demo itself does, between the events."""
        self._show(Text(f"── {sentence}", style="bold white on blue" if self._console.is_terminal else ""))

    async def follow(self, store_address: str, run_id: str) -> None:
        """Read the log until the run has ended."""
        async with grpc.aio.insecure_channel(store_address) as channel:
            stub: Any = store_service_pb2_grpc.StoreServiceStub(channel)
            request = store_service_pb2.WatchEventsRequest(run_id=run_id, stop_at_terminal=True)
            async for message in stub.WatchEvents(request):
                for event in message.batch.events:
                    await self._take(event)

    async def until(self, condition: Callable[[list[event_pb2.Event]], Any], *, seconds: float = 40.0) -> Any:
        """Wait until ``condition`` gives something true of the log, and return that. Raises TimeoutError."""
        found: Any = None

        def is_met() -> bool:
            nonlocal found
            found = condition(self.events)
            return bool(found)

        async with asyncio.timeout(seconds), self._grown:
            await self._grown.wait_for(is_met)
        return found

    async def _take(self, event: event_pb2.Event) -> None:
        async with self._grown:
            self.events.append(event)
            self._grown.notify_all()
        colour = _COLOURS.get(event_kind(event).split("_")[0], "") if self._console.is_terminal else ""
        self._show(Text(event_line(event), style=colour, no_wrap=True, overflow="ellipsis"))

    def _show(self, line: Text) -> None:
        if self._console.is_terminal:
            self._lines = [*self._lines, line][-_LINES:]
        else:
            self._console.print(line, soft_wrap=True)

    def _draw(self) -> Group:
        counts = Counter(event_kind(event) for event in self.events)
        done = f"{len(self.events)} events, {counts['step_completed']} of {counts['step_created']} steps completed"
        return Group(Text(done, style="bold"), *self._lines)
