"""A handle on one run: what a client can ask of it and do to it.

Owns waiting for the end and following the log, across restarts of both services: a wait is asked again in slices, the
log goes on from its last cursor. Read ``holdfast/connection.py`` for the patience between.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from typing import Any, Generic, TypeVar, overload

import grpc

from holdfast.connection import EARLY_PAUSE_SECONDS, PASSING, Connection, Patience
from holdfast.definitions import WorkflowDefinition
from holdfast.durations import Duration, duration_ms
from holdfast.requests import cancel_request, rerun_request, result_of, status_word
from holdfast.stream_items import check_name
from holdfast.stream_reader import StreamReader
from holdfast.v1 import event_pb2, payload_pb2, runtime_service_pb2, stream_service_pb2

_R = TypeVar("_R", covariant=True)
_I = TypeVar("_I")


class RunHandle(Generic[_R]):
    """A run by its id. Making one asks nothing: a run that does not exist is RunNotFound at the first question."""

    def __init__(self, connection: Connection, run_id: str, workflow: WorkflowDefinition | None = None) -> None:
        self._connection = connection
        self._run_id = run_id
        self._workflow = workflow

    @property
    def id(self) -> str:
        """The id of the run."""
        return self._run_id

    async def status(self) -> str:
        """Return "pending", "running", "completed", "failed" or "cancelled"."""
        return status_word((await self._describe(payload_pb2.PAYLOAD_VIEW_OMITTED)).run)

    async def describe(self) -> runtime_service_pb2.DescribeRunResponse:
        """Return the run with its open steps, hooks and waits, and why its last replay did not finish, if so."""
        return await self._describe(payload_pb2.PAYLOAD_VIEW_UNSPECIFIED)

    async def result(self, timeout: Duration | None = None) -> _R:
        """Wait for the end and return the result; survives restarts of both services.

        Raises RunFailed (``failure``, the original error as ``__cause__``), RunCancelled, and TimeoutError when the
        run has not ended after ``timeout``; the run goes on.
        """
        limit_ms = None if timeout is None else duration_ms(timeout, "timeout")
        run = await self._connection.ended(self._run_id, limit_ms)
        if run is None:
            raise TimeoutError(f"run {self._run_id} has not ended within {timeout!r}")
        result: _R = result_of(run, self._workflow)
        return result

    async def cancel(self, reason: str = "", *, force: bool = False, recursive: bool = False) -> bool:
        """Ask the run to stop; with ``force`` end it at once, without cleanup. False when it had ended before.

        ``recursive`` cancels its child runs too; otherwise they go on.
        """
        request = cancel_request(self._run_id, reason, force, recursive)
        answer: runtime_service_pb2.CancelRunResponse = await self._connection.call("CancelRun", request)
        return answer.cancelled

    async def rerun(self) -> RunHandle[_R]:
        """Start a run like this one, with its workflow, its input and the attributes it began with, under a new id."""
        request = rerun_request(await self._created())
        answer: runtime_service_pb2.StartRunResponse = await self._connection.call("StartRun", request)
        return RunHandle(self._connection, answer.run.run_id, self._workflow)

    async def wake(self) -> int:
        """Fire the open sleeps of the run now and replay it; return how many fired."""
        request = runtime_service_pb2.WakeRunRequest(run_id=self._run_id, skip_waits=True)
        answer: runtime_service_pb2.WakeRunResponse = await self._connection.call("WakeRun", request)
        return answer.fired_count

    async def events(self) -> AsyncIterator[event_pb2.Event]:
        """Yield the run's events from the first, then live; each once, in order. Ends with the run."""
        request = runtime_service_pb2.WatchRunRequest(run_id=self._run_id)
        patience = self._connection.patience()
        while True:
            try:
                async with aclosing(self._messages(request, patience)) as messages:
                    async for message in messages:
                        if message.HasField("event"):
                            yield message.event
                        if message.HasField("ended"):
                            return
            except PASSING as error:
                await patience.wait(error)
            else:
                await asyncio.sleep(EARLY_PAUSE_SECONDS)

    @overload
    def stream(
        self, name: str = "default", *, type: type[_I], start_index: int = 0, mode: str = "live"
    ) -> StreamReader[_I]: ...

    @overload
    def stream(
        self, name: str = "default", *, type: Any = Any, start_index: int = 0, mode: str = "live"
    ) -> StreamReader[Any]: ...

    def stream(
        self, name: str = "default", *, type: Any = Any, start_index: int = 0, mode: str = "live"
    ) -> StreamReader[Any]:
        """Return a reader of one of the run's streams: iterate it for items, or its ``chunks()``.

        ``start_index`` counts from the end when negative; ``mode`` "final" yields only what attempts that succeeded
        wrote. Raises ValueError for a malformed name or mode.
        """
        return StreamReader(self._connection, self._run_id, name, kind=type, start_index=start_index, mode=mode)

    async def stream_info(self, name: str = "default") -> stream_service_pb2.StreamInfo:
        """Return the state of a stream: length, size, whether it is closed. Raises ResourceNotFound when there is none.

        It exists from its first item on. Raises RunNotFound too.
        """
        request = runtime_service_pb2.GetRunStreamRequest(run_id=self._run_id, name=check_name(name))
        answer: runtime_service_pb2.GetRunStreamResponse = await self._connection.call("GetRunStream", request)
        return answer.stream

    async def _messages(
        self, request: runtime_service_pb2.WatchRunRequest, patience: Patience
    ) -> AsyncGenerator[runtime_service_pb2.WatchRunResponse, None]:
        """Yield the messages of one stream; the request remembers where the next one begins."""
        call = self._connection.stream("WatchRun", request)
        try:
            async for message in call:
                self._connection.heard()
                patience.renew()
                request.cursor = message.cursor
                yield self._connection.opened(message)
        except grpc.RpcError as error:
            raise self._connection.typed(error) from None
        finally:
            call.cancel()

    async def _created(self) -> event_pb2.RunCreated:
        """Return how the run began, payloads as stored."""
        request = runtime_service_pb2.WatchRunRequest(
            run_id=self._run_id,
            types=[event_pb2.EVENT_TYPE_RUN_CREATED],
            view=payload_pb2.PAYLOAD_VIEW_STORED,
        )
        patience = self._connection.patience()
        while True:
            try:
                async with aclosing(self._messages(request, patience)) as messages:
                    async for message in messages:
                        if message.HasField("event"):
                            return message.event.run_created
            except PASSING as error:
                await patience.wait(error)

    async def _describe(self, view: payload_pb2.PayloadView.ValueType) -> runtime_service_pb2.DescribeRunResponse:
        request = runtime_service_pb2.DescribeRunRequest(run_id=self._run_id, view=view)
        answer: runtime_service_pb2.DescribeRunResponse = await self._connection.call("DescribeRun", request)
        return answer

    def __repr__(self) -> str:
        return f"<RunHandle {self._run_id}>"
