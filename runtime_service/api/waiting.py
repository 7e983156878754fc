"""AwaitRun and WatchRun: waiting for a run without polling.

AwaitRun reads the run, then sleeps until the worker's feed says that the run ended, and reads again; the order matters:
following begins before the first read, so an end between the two is not missed. WatchRun passes a watch of the
store on, one event a message, and goes on from its last cursor when the store restarts.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from holdfast.errors import HoldfastError
from holdfast.refusal import Refusal
from holdfast.until import until
from holdfast.v1 import entity_pb2, event_pb2, payload_pb2, runtime_service_pb2, store_service_pb2
from runtime_service.api import checks, limits
from runtime_service.api.cursors import WatchPosition
from runtime_service.api.front import Front, has_ended
from runtime_service.store import is_passing
from runtime_service.worker.history import TERMINAL_TYPES

WatchResponse = runtime_service_pb2.WatchRunResponse
Upstream = store_service_pb2.WatchEventsResponse


class _End:
    """Follows a run for its end alone: what happens before it wakes nobody. ``run`` is set when it ended here."""

    def __init__(self) -> None:
        self.run: entity_pb2.Run | None = None
        self._is_given_up = False
        self._seen = asyncio.Event()

    def ended(self, run: entity_pb2.Run) -> None:
        self.run = run
        self._seen.set()

    def push(self, event: event_pb2.Event) -> None:
        if event.type in TERMINAL_TYPES:
            self._seen.set()

    def missed(self) -> None:
        self._seen.set()

    def give_up(self) -> None:
        """Wait no longer."""
        self._is_given_up = True
        self._seen.set()

    async def seen(self) -> bool:
        """Return once something was told, True, or the wait was given up, False."""
        await self._seen.wait()
        self._seen.clear()
        return not self._is_given_up


async def await_run(front: Front, request: runtime_service_pb2.AwaitRunRequest) -> runtime_service_pb2.AwaitRunResponse:
    """Wait for the end of a run, at most the time asked for; draining ends the wait early."""
    checks.check_run_id(request.run_id)
    checks.check_view(request.view)
    wait_ms = checks.duration_ms(request, "timeout", default=limits.AWAIT_MS_DEFAULT, least=0, most=limits.AWAIT_MS_MAX)
    until = asyncio.get_running_loop().time() + wait_ms / 1000
    end = _End()
    with front.worker.feed.follow(request.run_id, end):
        # A run that goes on here tells its end itself; any other is read first, for it may have ended before.
        run = None if front.worker.will_tell_end(request.run_id) else await front.run(request.run_id, request.view)
        is_told = True
        while is_told and (run is None or not has_ended(run)):
            is_told = await _told_before(front, end, until)
            run = _seen_end(end, request) or await front.run(request.run_id, request.view)
    return runtime_service_pb2.AwaitRunResponse(run=run, done=run is not None and has_ended(run))


def _seen_end(end: _End, request: runtime_service_pb2.AwaitRunRequest) -> entity_pb2.Run | None:
    """Return the run as it ended here, in the view that needs no work."""
    is_as_stored = request.view in (payload_pb2.PAYLOAD_VIEW_UNSPECIFIED, payload_pb2.PAYLOAD_VIEW_STORED)
    return end.run if is_as_stored else None


async def _told_before(front: Front, end: _End, until: float) -> bool:
    """Wait until the feed tells of the end; False when the time is over or the process drains."""
    if front.draining.is_set():
        return False
    give_up = end.give_up
    timer = asyncio.get_running_loop().call_at(until, give_up)
    front.draining.listeners.add(give_up)
    try:
        return await end.seen()
    finally:
        front.draining.listeners.discard(give_up)
        timer.cancel()


async def watch_run(front: Front, request: runtime_service_pb2.WatchRunRequest) -> AsyncIterator[WatchResponse]:
    """Stream a run's events from the cursor, then live; the last message is the ended run.

    Raises NOT_READY when this process drains: the caller resumes elsewhere with its last cursor.
    """
    _check_watch(request)
    await front.run(request.run_id)
    position = WatchPosition.read(request.cursor)
    while True:
        try:
            async for message in _until_drained(front, front.store.watch(_upstream(request, position))):
                async for answer in _passed_on(front, request, position, message):
                    yield answer
                if message.closing.reason == store_service_pb2.WATCH_CLOSING_REASON_TERMINAL:
                    run = await front.run(request.run_id, request.view)
                    yield WatchResponse(cursor=position.cursor, ended=run)
                    return
        except HoldfastError as error:
            if not is_passing(error):
                raise
        # The store drains or is away. Deleted runs end here too: the read says RUN_NOT_FOUND.
        await asyncio.sleep(limits.WATCH_PAUSE_SECONDS)
        await front.run(request.run_id)


def _check_watch(request: runtime_service_pb2.WatchRunRequest) -> None:
    checks.check_run_id(request.run_id)
    checks.check_view(request.view)
    for index, kind in enumerate(request.types):
        checks.check_known(kind, event_pb2.EventType, f"types[{index}]")
    checks.duration_ms(
        request, "progress_interval", default=0, least=limits.PROGRESS_MS_MIN, most=limits.PROGRESS_MS_MAX
    )


def _upstream(
    request: runtime_service_pb2.WatchRunRequest, position: WatchPosition
) -> store_service_pb2.WatchEventsRequest:
    upstream = store_service_pb2.WatchEventsRequest(
        run_id=request.run_id,
        cursor=position.store_cursor,
        start=store_service_pb2.WATCH_START_EARLIEST,
        types=request.types,
        stop_at_terminal=True,
        view=request.view,
    )
    if request.HasField("progress_interval"):
        upstream.progress_interval.CopyFrom(request.progress_interval)
    return upstream


async def _passed_on(
    front: Front,
    request: runtime_service_pb2.WatchRunRequest,
    position: WatchPosition,
    message: Upstream,
) -> AsyncIterator[WatchResponse]:
    for event in message.batch.events:
        if position.take(event.seq):
            yield WatchResponse(cursor=position.cursor, event=event)
    position.reach(message.cursor)
    kind = message.WhichOneof("kind")
    if kind in ("progress", "caught_up"):
        position.is_caught_up = position.is_caught_up or kind == "caught_up"
        run = await front.run(request.run_id, payload_pb2.PAYLOAD_VIEW_OMITTED)
        yield WatchResponse(cursor=position.cursor, progress=_progress(run, message, position))


def _progress(run: entity_pb2.Run, message: Upstream, position: WatchPosition) -> runtime_service_pb2.RunProgress:
    told = message.caught_up if message.HasField("caught_up") else message.progress
    return runtime_service_pb2.RunProgress(
        status=run.status, head_seq=told.head_seq, caught_up=position.is_caught_up, server_time=told.server_time
    )


async def _until_drained(front: Front, stream: AsyncIterator[Upstream]) -> AsyncIterator[Upstream]:
    """Yield what the store sends; refuses with NOT_READY once the process drains."""
    async for message in until(front.draining, stream):
        yield message
    if front.draining.is_set():
        raise Refusal("NOT_READY", "this runtime is shutting down: resume the watch with its last cursor")
