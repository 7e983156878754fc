"""Tells an open page that there is something new; the page then reads itself again (``static/live.js``).

Owns the messages of an event stream (``text/event-stream``): ``changed`` and ``ended``, with the position in the log as
their id, which a browser sends back when it connects again. Nothing of a run is in them. Nobody polls a log: it is a
watch of the store, as for WatchRun. What changes while a browser is busy becomes one message. Credentials are looked at
again before each. What is watched is in ``watching.py``.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Coroutine
from typing import Any, Final

import structlog

from holdfast.errors import HoldfastError
from holdfast.refusal import Refusal
from runtime_service.ui import limits

log = structlog.get_logger(__name__)

_HEARTBEAT: Final = ":\n\n"


class News:
    """What there is to tell, told by a watch and taken by the messages of one page."""

    def __init__(self, position: int) -> None:
        self.position = position
        self.has_ended = False
        self._told = asyncio.Event()

    def tell(self, position: int = 0) -> None:
        """Something changed; ``position`` is that of the newest event known, if there is one."""
        self.position = max(self.position, position)
        self._told.set()

    def end(self) -> None:
        """It was the last change."""
        self.has_ended = True
        self._told.set()

    async def wait(self) -> None:
        """Return once something was told since the last call."""
        await self._told.wait()
        self._told.clear()


async def messages(
    news: News, watch: Coroutine[Any, Any, None], may_see: Callable[[], bool]
) -> AsyncGenerator[str, None]:
    """Yield messages while the watch lasts and whoever follows may see what it is about."""
    watching = asyncio.create_task(watch, name="holdfast-ui-watch")
    watching.add_done_callback(_tell_failure)
    try:
        yield f"retry: {limits.RECONNECT_MS}\n\n"
        while not news.has_ended and not watching.done():
            is_news = await _news_or_beat(news, watching)
            if not may_see():
                return
            if not is_news:
                yield _HEARTBEAT
            elif not news.has_ended:
                yield f"event: changed\nid: {news.position}\ndata: {news.position}\n\n"
        if news.has_ended:
            yield f"event: ended\nid: {news.position}\ndata: {news.position}\n\n"
    finally:
        watching.cancel()


async def _news_or_beat(news: News, watching: asyncio.Task[None]) -> bool:
    """Wait for news, for the end of the watch, or for a heartbeat; True for news."""
    told: asyncio.Future[None] = asyncio.ensure_future(news.wait())
    try:
        either = {told, watching}
        await asyncio.wait(either, timeout=limits.HEARTBEAT_SECONDS, return_when=asyncio.FIRST_COMPLETED)
        return told.done()
    finally:
        told.cancel()


def _tell_failure(watching: asyncio.Task[None]) -> None:
    """Log what no watch should end with; a process that drains, or a run that was deleted, is nothing to tell."""
    error = None if watching.cancelled() else watching.exception()
    if error is not None and not isinstance(error, HoldfastError | Refusal):
        log.error("a page cannot be kept up to date", error=str(error), kind=type(error).__name__)
