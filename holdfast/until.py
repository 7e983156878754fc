"""Reading a stream until something else happens.

Owns the race between the next message and an announcement, so that a peer that has nothing to say cannot hold up a
server that drains. What the reader does about it then is its own affair: it looks whether the announcement was made.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import TypeVar

T = TypeVar("T")


async def until(announced: asyncio.Event, messages: AsyncIterator[T]) -> AsyncIterator[T]:
    """Yield messages until there are no more or the event is set."""
    announcement = asyncio.ensure_future(announced.wait())
    following: asyncio.Future[T | None] | None = None
    try:
        while not announced.is_set():
            following = asyncio.ensure_future(anext(messages, None))
            await asyncio.wait({following, announcement}, return_when=asyncio.FIRST_COMPLETED)
            if not following.done() or (message := following.result()) is None:
                return
            yield message
    finally:
        announcement.cancel()
        if following is not None:
            following.cancel()
