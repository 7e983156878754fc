"""Reading a stream of requests until something else happens.

Owns the race between the next request and an announcement, so that a client that has nothing to say cannot hold up a
server that drains.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import TypeVar

T = TypeVar("T")


class Until:
    """An announcement that ends iterations. ``set`` it from a callback; ``each`` stops at the next wait."""

    def __init__(self) -> None:
        self._event = asyncio.Event()

    @property
    def is_set(self) -> bool:
        return self._event.is_set()

    def set(self) -> None:
        self._event.set()

    async def each(self, items: AsyncIterator[T]) -> AsyncIterator[T]:
        """Yield items until there are no more or it is set."""
        announced = asyncio.ensure_future(self._event.wait())
        following: asyncio.Future[T | None] | None = None
        try:
            while not self.is_set:
                following = asyncio.ensure_future(anext(items, None))
                await asyncio.wait({following, announced}, return_when=asyncio.FIRST_COMPLETED)
                if not following.done() or (item := following.result()) is None:
                    return
                yield item
        finally:
            announced.cancel()
            if following is not None:
                following.cancel()
