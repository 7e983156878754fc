"""What an open page watches: one run with its streams, or all runs of the store.

A watch tells ``News`` and ends with the run, or when this process drains; then the browser connects again, to the next
one. Read ``live.py`` for what becomes of the news.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import Final

from holdfast.errors import HoldfastError
from holdfast.refusal import Refusal
from holdfast.until import until
from holdfast.v1 import event_pb2, payload_pb2, runtime_service_pb2, store_service_pb2
from runtime_service.api.front import Front
from runtime_service.api.streaming import read_run_stream
from runtime_service.api.waiting import watch_run
from runtime_service.store import is_passing, milliseconds
from runtime_service.ui import limits
from runtime_service.ui.asking import streams_of
from runtime_service.ui.live import News

_OMITTED: Final = payload_pb2.PAYLOAD_VIEW_OMITTED
_BEAT: Final = milliseconds(limits.HEARTBEAT_SECONDS * 1000)

#: Events after which the list of runs reads otherwise. Steps that go well are too many to tell.
_OF_LIST: Final = tuple(
    number
    for name, number in event_pb2.EventType.items()
    if name.removeprefix("EVENT_TYPE_").startswith(("RUN_", "HOOK_", "WAIT_", "STEP_RETRYING", "STEP_FAILED"))
)


async def watch_one(front: Front, run_id: str, news: News) -> None:
    """Tell of each event after ``news.position`` and each new chunk, until the run has ended.

    Raises Refusal for a position that the log does not have, and NOT_READY when this process drains.
    """
    request = runtime_service_pb2.WatchRunRequest(
        run_id=run_id, cursor=await _cursor(front, run_id, news), progress_interval=_BEAT, view=_OMITTED
    )
    streams: dict[str, asyncio.Task[None]] = {}
    try:
        async for message in watch_run(front, request):
            if message.HasField("event"):
                news.tell(message.event.seq)
                continue
            # New streams are in no event: with every heartbeat they are looked for.
            for info in await streams_of(front, run_id):
                if info.stream.name not in streams:
                    follow = _watch_stream(front, run_id, info.stream.name, info.next_index, news)
                    streams[info.stream.name] = asyncio.create_task(follow, name="holdfast-ui-stream")
                    news.tell()
        news.end()
    finally:
        for task in streams.values():
            task.cancel()


async def _cursor(front: Front, run_id: str, news: News) -> str:
    """The cursor right after the events that the page has, as far as there is one without an event after it."""
    request = store_service_pb2.ListEventsRequest(run_id=run_id, after_seq=news.position, page_size=1, view=_OMITTED)
    page: store_service_pb2.ListEventsResponse = await front.store.call(front.store.events.ListEvents, request)
    for event in page.events:
        news.tell(event.seq)
    return page.next_cursor


async def _watch_stream(front: Front, run_id: str, name: str, start: int, news: News) -> None:
    request = runtime_service_pb2.ReadRunStreamRequest(run_id=run_id, name=name, start_index=start, with_resets=True)
    # The watch of the run ends for the same reason, and tells it.
    with contextlib.suppress(HoldfastError, Refusal):
        async for _ in read_run_stream(front, request):
            news.tell()


async def watch_all(front: Front, news: News) -> None:
    """Tell of what changes the list of runs, from now on, until this process drains."""
    request = store_service_pb2.WatchEventsRequest(
        all_runs=True, start=store_service_pb2.WATCH_START_NOW, types=_OF_LIST, view=_OMITTED
    )
    while not front.draining.is_set():
        try:
            async for message in until(front.draining, front.store.watch(request)):
                request.cursor = message.cursor or request.cursor
                if message.HasField("batch"):
                    news.tell()
        except HoldfastError as error:
            if not is_passing(error):
                raise
        # The store drains or is away.
        await asyncio.sleep(limits.WATCH_PAUSE_SECONDS)
