"""ReadRunStream and GetRunStream: byte streams of a run, passed on for those who know the runtime's address only.

A read goes on from its next index when the store restarts, and tells each reset once over all of that. It pulls: a
chunk is taken from the store when the one before it was taken by the caller's transport.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from holdfast.errors import HoldfastError
from holdfast.refusal import Refusal, invalid_field
from holdfast.stream_items import ToldResets, check_name
from holdfast.until import until
from holdfast.v1 import runtime_service_pb2, stream_service_pb2
from runtime_service.api import checks, limits
from runtime_service.api.front import Front
from runtime_service.store import is_passing

Response = runtime_service_pb2.ReadRunStreamResponse

#: Name of the stream that is meant when none is given.
DEFAULT_NAME = "default"


async def read_run_stream(front: Front, request: runtime_service_pb2.ReadRunStreamRequest) -> AsyncIterator[Response]:
    """Stream a run's chunks from the index, then live, up to the end.

    Raises NOT_READY when this process drains: the caller resumes elsewhere with its next index.
    """
    upstream = _upstream(request)
    told = ToldResets()
    while True:
        try:
            async for message in until(front.draining, front.store.read_stream(upstream)):
                upstream.start_index = message.next_index
                if _is_news(message, told):
                    yield _passed_on(message)
                if message.HasField("end"):
                    return
        except HoldfastError as error:
            if not is_passing(error):
                raise
        if front.draining.is_set():
            raise Refusal("NOT_READY", "this runtime is shutting down: go on with the next_index of its last message")
        # The store drains or is away.
        await asyncio.sleep(limits.WATCH_PAUSE_SECONDS)


async def get_run_stream(
    front: Front, request: runtime_service_pb2.GetRunStreamRequest
) -> runtime_service_pb2.GetRunStreamResponse:
    """Return the state of a stream."""
    upstream = stream_service_pb2.GetStreamRequest(stream=_ref(request.run_id, request.name))
    answer: stream_service_pb2.GetStreamResponse = await front.store.call(front.store.streams.GetStream, upstream)
    return runtime_service_pb2.GetRunStreamResponse(stream=answer.stream)


def _ref(run_id: str, name: str) -> stream_service_pb2.StreamRef:
    checks.check_run_id(run_id)
    try:
        return stream_service_pb2.StreamRef(run_id=run_id, name=check_name(name or DEFAULT_NAME))
    except ValueError as error:
        raise invalid_field("name", str(error)) from None


def _upstream(request: runtime_service_pb2.ReadRunStreamRequest) -> stream_service_pb2.ReadStreamRequest:
    checks.check_known(request.mode, stream_service_pb2.StreamReadMode, "mode")
    checks.duration_ms(
        request, "progress_interval", default=0, least=limits.PROGRESS_MS_MIN, most=limits.PROGRESS_MS_MAX
    )
    upstream = stream_service_pb2.ReadStreamRequest(
        stream=_ref(request.run_id, request.name),
        start_index=request.start_index,
        mode=request.mode,
        with_resets=request.with_resets,
    )
    if request.HasField("progress_interval"):
        upstream.progress_interval.CopyFrom(request.progress_interval)
    return upstream


def _is_news(message: stream_service_pb2.ReadStreamResponse, told: ToldResets) -> bool:
    if message.HasField("reset"):
        return told.is_new(message.reset.author)
    if message.HasField("author"):
        told.saw(message.author)
    return True


def _passed_on(message: stream_service_pb2.ReadStreamResponse) -> Response:
    answer = Response(next_index=message.next_index, content_type=message.content_type, end=message.HasField("end"))
    if message.HasField("data"):
        answer.data = message.data
    if message.HasField("author"):
        answer.author.CopyFrom(message.author)
    if message.HasField("reset"):
        answer.reset.CopyFrom(message.reset)
    return answer
