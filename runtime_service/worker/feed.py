"""One watch of the store for the whole process: what came in from outside, told to whoever follows the run.

Held runs get the pushed events; waiting calls (AwaitRun) are told that something happened to their run and
read it again. The watch resumes by its cursor; when that is not possible, everyone is told to read again.
A push is a hint that saves a read: a hold takes an event only if it is the next of its log.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final, Protocol

import structlog

from holdfast.errors import HoldfastError
from holdfast.v1 import entity_pb2, event_pb2, payload_pb2, store_service_pb2
from runtime_service.store import Store

log = structlog.get_logger(__name__)

#: What others than the holder write, and the ends of runs. Step events stay out: they are the holder's own.
WATCHED_TYPES: Final = (
    event_pb2.EVENT_TYPE_HOOK_RECEIVED,
    event_pb2.EVENT_TYPE_HOOK_DISPOSED,
    event_pb2.EVENT_TYPE_WAIT_COMPLETED,
    event_pb2.EVENT_TYPE_RUN_CANCEL_REQUESTED,
    event_pb2.EVENT_TYPE_RUN_COMPLETED,
    event_pb2.EVENT_TYPE_RUN_FAILED,
    event_pb2.EVENT_TYPE_RUN_CANCELLED,
)

#: Seconds between two tries to reach the store.
_PAUSE_SECONDS: Final = 0.2


class Follower(Protocol):
    """Who is told about one run."""

    def push(self, event: event_pb2.Event) -> None:
        """Take an event; the same one may come more than once."""

    def ended(self, run: entity_pb2.Run) -> None:
        """Take the run as its last event left it, when this process wrote that."""

    def missed(self) -> None:
        """The watch was interrupted and could not resume: events may have been skipped."""


class Feed:
    """The watch, and its followers by run. ``clock_reading`` is told the store's time, in epoch ms."""

    def __init__(self, store: Store, clock_reading: Callable[[int], None]) -> None:
        self._store = store
        self._clock_reading = clock_reading
        self._followers: dict[str, list[Follower]] = {}
        self._cursor = ""
        self._ready = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Begin to watch; returns once the watch is live, so that nothing after it is missed."""
        self._task = asyncio.create_task(self._watch_for_ever(), name="holdfast-feed")
        await self._ready.wait()

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    @contextmanager
    def follow(self, run_id: str, follower: Follower) -> Iterator[None]:
        """Tell ``follower`` about the run while the block lasts."""
        self._followers.setdefault(run_id, []).append(follower)
        try:
            yield
        finally:
            followers = self._followers[run_id]
            followers.remove(follower)
            if not followers:
                del self._followers[run_id]

    def tell(self, event: event_pb2.Event) -> None:
        """Pass on an event that this process wrote itself, ahead of the store's push of it."""
        for follower in list(self._followers.get(event.run_id, ())):
            follower.push(event)

    def tell_ended(self, run: entity_pb2.Run) -> None:
        """Pass on a run that this process ended, as it is now."""
        for follower in list(self._followers.get(run.run_id, ())):
            follower.ended(run)

    async def _watch_for_ever(self) -> None:
        while True:
            try:
                await self._watch()
            except HoldfastError as error:
                if error.reason in ("CURSOR_EXPIRED", "INVALID_CURSOR"):
                    self._cursor = ""
                log.info("watch interrupted", error=str(error))
            await asyncio.sleep(_PAUSE_SECONDS)

    async def _watch(self) -> None:
        """Watch until it breaks off.

        Without a cursor it begins anew, and everyone is told to read once it is live. Not before: (1) a follower
        reads, (2) an event commits, (3) the watch begins with what comes after it. Proof: tests/worker/test_feed.py.
        """
        begins_anew = not self._cursor
        request = store_service_pb2.WatchEventsRequest(
            all_runs=True,
            cursor=self._cursor,
            start=store_service_pb2.WATCH_START_NOW,
            types=WATCHED_TYPES,
            view=payload_pb2.PAYLOAD_VIEW_STORED,
        )
        async for message in self._store.watch(request):
            self._take(message)
            if begins_anew and message.HasField("caught_up"):
                begins_anew = False
                self._tell_missed()

    def _take(self, message: Any) -> None:
        self._cursor = message.cursor or self._cursor
        kind = message.WhichOneof("kind")
        if kind == "batch":
            for event in message.batch.events:
                self.tell(event)
        elif kind in ("caught_up", "progress"):
            self._clock_reading(getattr(message, kind).server_time.ToMilliseconds())
            self._ready.set()

    def _tell_missed(self) -> None:
        for followers in list(self._followers.values()):
            for follower in list(followers):
                follower.missed()
