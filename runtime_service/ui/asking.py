"""What is read of the store for a page.

Goes through the functions of the front door, so a page shows what `holdfast` commands would; what only lists of the
store tell (children, names of streams) is asked there. The parts of a page are read at once, not in one snapshot.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from holdfast.cli.explaining import explain
from holdfast.errors import HoldfastError
from holdfast.v1 import (
    entity_pb2,
    event_pb2,
    payload_pb2,
    runtime_service_pb2,
    store_service_pb2,
    stream_service_pb2,
)
from runtime_service.api.describing import describe_run
from runtime_service.api.finding import find_runs
from runtime_service.api.front import Front, has_ended
from runtime_service.ui import limits
from runtime_service.ui.filters import Filter
from runtime_service.ui.stream_ends import StreamEnd, stream_end

_OMITTED: Final = payload_pb2.PAYLOAD_VIEW_OMITTED


@dataclass(frozen=True, slots=True)
class RunRow:
    """A run of the list, with the sentences that say what it waits for; none when it has ended."""

    run: entity_pb2.Run
    why: Sequence[str]
    is_blocked: bool


@dataclass(frozen=True, slots=True)
class Window:
    """A stretch of a log, in order. ``head`` is the position of its end when it was read."""

    events: Sequence[event_pb2.Event]
    head: int


@dataclass(frozen=True, slots=True)
class RunParts:
    """A run and what belongs to it. ``run`` has its values, ``description`` has none."""

    run: entity_pb2.Run
    description: runtime_service_pb2.DescribeRunResponse
    why: Sequence[str]
    window: Window
    children: Sequence[entity_pb2.Run]
    streams: Sequence[StreamEnd]


async def ask_for_runs(front: Front, chosen: Filter) -> tuple[Sequence[RunRow], str]:
    """Return a page of runs, newest first, and the token of the next. Raises Refusal and HoldfastError."""
    page = await find_runs(front, chosen.request)
    return await asyncio.gather(*(_row(front, run) for run in page.runs)), page.next_page_token


async def ask_for_run(front: Front, run_id: str, after: int | None) -> RunParts:
    """Return a run with the events after a position, or with its newest. Raises Refusal and HoldfastError."""
    description = await _describe(front, run_id)
    run, window, children, streams = await asyncio.gather(
        front.run(run_id), _window(front, run_id, after), _children(front, run_id), _streams(front, run_id)
    )
    return RunParts(run, description, explain(description, now(front)), window, children, streams)


async def streams_of(front: Front, run_id: str) -> Sequence[stream_service_pb2.StreamInfo]:
    """Return the streams of a run, by name, as far as they are shown."""
    request = stream_service_pb2.ListStreamsRequest(run_id=run_id, page_size=limits.STREAMS_MAX)
    page: stream_service_pb2.ListStreamsResponse = await front.store.call(front.store.streams.ListStreams, request)
    return page.streams


def now(front: Front) -> datetime:
    """The time of the store, as far as it is known here."""
    return datetime.fromtimestamp(front.worker.clock() / 1000, UTC)


async def _row(front: Front, run: entity_pb2.Run) -> RunRow:
    if has_ended(run):
        return RunRow(run, (), False)
    try:
        description = await _describe(front, run.run_id)
    except HoldfastError:
        # It was deleted since, or the store went away: the list is worth showing without this.
        return RunRow(run, (), False)
    if has_ended(description.run):
        return RunRow(description.run, (), False)
    return RunRow(run, explain(description, now(front)), description.HasField("last_replay_failure"))


async def _describe(front: Front, run_id: str) -> runtime_service_pb2.DescribeRunResponse:
    return await describe_run(front, runtime_service_pb2.DescribeRunRequest(run_id=run_id, view=_OMITTED))


async def _window(front: Front, run_id: str, after: int | None) -> Window:
    request = store_service_pb2.ListEventsRequest(run_id=run_id, page_size=limits.EVENTS_PER_PAGE)
    if after is None:
        # From the end, so that a page that large values cut short is cut at its old end.
        request.order = entity_pb2.SORT_ORDER_DESCENDING
    else:
        request.after_seq = after
    page: store_service_pb2.ListEventsResponse = await front.store.call(front.store.events.ListEvents, request)
    return Window(sorted(page.events, key=lambda event: event.seq), page.head_seq)


async def _children(front: Front, run_id: str) -> Sequence[entity_pb2.Run]:
    request = store_service_pb2.ListRunsRequest(
        parent_run_id=run_id, page_size=limits.CHILDREN_MAX, order=entity_pb2.SORT_ORDER_ASCENDING, view=_OMITTED
    )
    page: store_service_pb2.ListRunsResponse = await front.store.call(front.store.events.ListRuns, request)
    return page.runs


async def _streams(front: Front, run_id: str) -> Sequence[StreamEnd]:
    return await asyncio.gather(*(stream_end(front, info) for info in await streams_of(front, run_id)))
