"""WatchEvents: a log from a cursor on, and then live.

Owns the messages of a watch and their order: batches, once caught_up, progress when there was silence, a closing
message at the end. It pulls: each page is read when the one before it was taken by the transport, so a slow watcher
holds up nobody and nothing is buffered. The bell is hung up before the first read, so what commits in between rings it.
Where a watch stands is ``rules/tail.py``.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any, Final

from holdfast.refusal import invalid_field
from holdfast.v1 import event_pb2, payload_pb2
from holdfast.v1 import store_service_pb2 as api
from store_service import limits
from store_service.api import checks, queue_checks
from store_service.api.bells import ALL_RUNS, Bell
from store_service.api.parts import Context, Parts
from store_service.rules import clock, views
from store_service.rules.tail import Chunk, Place, RunTail, StoreTail, Tail

Message = api.WatchEventsResponse

TERMINAL: Final = api.WATCH_CLOSING_REASON_TERMINAL
DRAINING: Final = api.WATCH_CLOSING_REASON_DRAINING
DELETED: Final = api.WATCH_CLOSING_REASON_DELETED


class WatchApi:
    """The watch method of StoreService."""

    _parts: Parts

    async def WatchEvents(self, request: api.WatchEventsRequest, context: Context) -> AsyncIterator[Message]:
        tail, interval_ms = _check(request)
        run_id = request.run_id or ALL_RUNS
        with self._parts.bells.hang(run_id, request.types) as bell, self._parts.streams.open(bell.ring):
            place = await self._parts.engine.read(lambda reader: tail.begin(reader, request.cursor, request.start))
            watch = _Watch(self._parts, tail, bell, place, interval_ms / 1000, request.view)
            async for message in watch.messages(stops_at_terminal=request.stop_at_terminal):
                yield message


class _Watch:
    """One watch under way."""

    def __init__(
        self,
        parts: Parts,
        tail: Tail,
        bell: Bell,
        place: Place,
        interval_seconds: float,
        view: payload_pb2.PayloadView.ValueType,
    ) -> None:
        self._parts = parts
        self._tail = tail
        self._bell = bell
        self._place = place
        self._interval_seconds = interval_seconds
        self._view = view
        self._head_seq = 0
        self._silent_since = _loop_time()

    async def messages(self, *, stops_at_terminal: bool) -> AsyncIterator[Message]:
        is_caught_up = False
        while not self._parts.streams.is_draining:
            chunk = await self._read()
            if chunk.events:
                yield self._batch(chunk)
            if chunk.is_at_end and not is_caught_up and not chunk.is_deleted:
                is_caught_up = True
                yield self._caught_up()
            reason = _end(chunk, stops_at_terminal)
            if reason:
                yield self._closing(reason)
                return
            if not self._silence_left():
                # After the read, so that the cursor has moved over what the filter skips and no bell rang for.
                yield self._progress()
            if chunk.is_at_end:
                await self._bell.wait(self._silence_left())
        yield self._closing(DRAINING)

    async def _read(self) -> Chunk:
        share = self._parts.streams.share_bytes
        chunk = await self._parts.engine.read(lambda reader: self._tail.read(reader, self._place, share))
        self._place = chunk.place
        self._head_seq = chunk.head_seq
        return chunk

    def _silence_left(self) -> float:
        return max(0.0, self._silent_since + self._interval_seconds - _loop_time())

    def _message(self, **kind: Any) -> Message:
        self._silent_since = _loop_time()
        return Message(cursor=self._tail.cursor(self._place), **kind)

    def _batch(self, chunk: Chunk) -> Message:
        for event in chunk.events:
            views.show_event(event, self._view)
        message = self._message(batch=api.EventBatch(events=chunk.events))
        # A watch that is not read keeps the message for as long: not its events twice.
        chunk.events.clear()
        return message

    def _caught_up(self) -> Message:
        server_time = clock.to_timestamp(self._parts.clock())
        return self._message(caught_up=api.WatchCaughtUp(server_time=server_time, head_seq=self._head_seq))

    def _progress(self) -> Message:
        server_time = clock.to_timestamp(self._parts.clock())
        return self._message(progress=api.WatchProgress(server_time=server_time, head_seq=self._head_seq))

    def _closing(self, reason: api.WatchClosingReason.ValueType) -> Message:
        return self._message(closing=api.WatchClosing(reason=reason))


def _end(chunk: Chunk, stops_at_terminal: bool) -> api.WatchClosingReason.ValueType | None:
    if chunk.is_deleted:
        return DELETED
    return TERMINAL if stops_at_terminal and chunk.is_ended else None


def _check(request: api.WatchEventsRequest) -> tuple[Tail, int]:
    scope = request.WhichOneof("scope")
    if scope is None:
        raise invalid_field("scope", "is not set; watch one run_id, or all_runs")
    checks.enums(event_pb2.EventType, request.types, "types")
    checks.enum(api.WatchStart, request.start, "start")
    checks.payload_view(request)
    interval_ms = queue_checks.bounded_ms(
        request,
        "progress_interval",
        "progress_interval",
        limits.PROGRESS_MS_MIN,
        limits.PROGRESS_MS_MAX,
        limits.PROGRESS_MS_DEFAULT,
    )
    return _TAILS[scope](request), interval_ms


def _run_tail(request: api.WatchEventsRequest) -> Tail:
    if request.workflow_name:
        raise invalid_field("workflow_name", "is set, but a watch of one run has no use for it; set all_runs")
    return RunTail(checks.identifier(request.run_id, "run_id"), frozenset(request.types))


def _store_tail(request: api.WatchEventsRequest) -> Tail:
    if not request.all_runs:
        raise invalid_field("all_runs", "is false; it must be true when it is set")
    if request.stop_at_terminal:
        raise invalid_field("stop_at_terminal", "is set, but a watch of all runs has no end; set run_id")
    checks.text(request.workflow_name, "workflow_name", limits.WORKFLOW_NAME_CHARS_MAX)
    return StoreTail(frozenset(request.types), request.workflow_name)


_TAILS: Final[dict[str, Callable[[api.WatchEventsRequest], Tail]]] = {"run_id": _run_tail, "all_runs": _store_tail}


def _loop_time() -> float:
    return asyncio.get_running_loop().time()
