"""Streams of one run, for tests: short words for writing and reading on a real store."""

from __future__ import annotations

import asyncio
from typing import Any

from holdfast.v1 import event_pb2, payload_pb2
from holdfast.v1 import stream_service_pb2 as api
from tests.support.store import DEADLINE_SECONDS, StoreClient, add, create_run

RUN = "order-1"
NAME = "tokens"
STEP = "step_write#1"


def ref(name: str = NAME, run_id: str = RUN) -> api.StreamRef:
    return api.StreamRef(run_id=run_id, name=name)


def append_request(*chunks: bytes, **fields: Any) -> api.AppendChunksRequest:
    return api.AppendChunksRequest(**{"stream": ref(), "chunks": chunks, **fields})


def by(attempt: int, step_id: str = STEP, run_id: str = "") -> api.StreamAuthor:
    return api.StreamAuthor(step_id=step_id, attempt=attempt, run_id=run_id)


class Flow:
    """One run with one stream."""

    def __init__(self, client: StoreClient, run_id: str = RUN) -> None:
        self.client = client
        self.run_id = run_id
        self.stub = client.streams

    async def begin(self, *step_ids: str) -> Flow:
        """Create the run, and steps whose first attempt runs."""
        await create_run(self.client, self.run_id)
        for step_id in step_ids:
            await self.tell(step_id, step_created=event_pb2.StepCreated(step_name="write"))
            await self.start(1, step_id)
        return self

    async def tell(self, step_id: str = "", **arm: Any) -> None:
        await add(self.client, self.run_id, event_pb2.Event(correlation_id=step_id, **arm))

    async def start(self, attempt: int, step_id: str = STEP) -> None:
        await self.tell(step_id, step_started=event_pb2.StepStarted(attempt=attempt))

    async def complete(self, attempt: int, step_id: str = STEP) -> None:
        await self.tell(step_id, step_completed=event_pb2.StepCompleted(attempt=attempt))

    async def fail(self, attempt: int, step_id: str = STEP) -> None:
        failure = payload_pb2.Failure(type="ValueError", message="no")
        await self.tell(step_id, step_failed=event_pb2.StepFailed(attempt=attempt, failure=failure))

    async def retry(self, attempt: int, step_id: str = STEP) -> None:
        """The attempt failed and the next one runs."""
        failure = payload_pb2.Failure(type="ValueError", message="no")
        retrying = event_pb2.StepRetrying(attempt=attempt, failure=failure)
        retrying.retry_time.FromMilliseconds(1)
        await self.tell(step_id, step_retrying=retrying)
        await self.start(attempt + 1, step_id)

    async def end(self) -> None:
        await self.tell(run_completed=event_pb2.RunCompleted())

    async def write(self, *chunks: bytes, **fields: Any) -> api.AppendChunksResponse:
        return await self.stub.AppendChunks(append_request(*chunks, **{"stream": ref(run_id=self.run_id), **fields}))

    async def close(self) -> api.StreamInfo:
        answer = await self.stub.CloseStream(api.CloseStreamRequest(stream=ref(run_id=self.run_id)))
        return answer.stream

    async def info(self) -> api.StreamInfo:
        return (await self.stub.GetStream(api.GetStreamRequest(stream=ref(run_id=self.run_id)))).stream

    def read(self, **fields: Any) -> Reading:
        return Reading(self.stub.ReadStream(api.ReadStreamRequest(**{"stream": ref(run_id=self.run_id), **fields})))

    async def snapshot(self, **fields: Any) -> list[bytes]:
        return await self.read(snapshot=True, **fields).chunks()


class Reading:
    """One ReadStream under way, with a deadline on every message."""

    def __init__(self, call: Any) -> None:
        self.call = call

    async def message(self) -> api.ReadStreamResponse:
        """The next message that is no heartbeat."""
        while True:
            found = await self.any_message()
            if found.WhichOneof("kind") != "progress":
                return found

    async def any_message(self) -> api.ReadStreamResponse:
        async with asyncio.timeout(DEADLINE_SECONDS):
            found: api.ReadStreamResponse = await self.call.read()
        assert isinstance(found, api.ReadStreamResponse), "the stream ended without an end"
        return found

    async def chunk(self) -> bytes:
        found = await self.message()
        assert found.WhichOneof("kind") == "data", found
        return found.data

    async def told(self) -> list[Any]:
        """Everything up to the end: bytes for chunks, the attempt for resets."""
        everything: list[Any] = []
        while (found := await self.message()).WhichOneof("kind") != "end":
            is_chunk = found.WhichOneof("kind") == "data"
            everything.append(found.data if is_chunk else found.reset.author.attempt)
        return everything

    async def chunks(self) -> list[bytes]:
        return [it for it in await self.told() if isinstance(it, bytes)]

    def cancel(self) -> None:
        self.call.cancel()
