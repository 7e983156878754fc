"""The client for plain code: the verbs of ``Client``, each waiting for its answer.

Owns one background thread per process that runs the asyncio client; every rule stays there. Must not be used inside a
coroutine: it would block its loop.
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Iterator, Mapping
from datetime import datetime
from functools import cache
from types import MappingProxyType, TracebackType
from typing import Any, Generic, TypeVar, overload

from holdfast.client import Client
from holdfast.codecs import Codec
from holdfast.durations import Duration
from holdfast.requests import check_place
from holdfast.run_handle import RunHandle
from holdfast.stream_items import Chunk, Reset
from holdfast.stream_reader import StreamReader
from holdfast.v1 import entity_pb2, event_pb2, runtime_service_pb2, stream_service_pb2

R = TypeVar("R")
_R = TypeVar("_R", covariant=True)
_I = TypeVar("_I")
_NONE: Mapping[str, Any] = MappingProxyType({})


class SyncRunHandle(Generic[_R]):
    """A run by its id, see ``RunHandle``."""

    def __init__(self, handle: RunHandle[_R]) -> None:
        self._handle = handle

    @property
    def id(self) -> str:
        """The id of the run."""
        return self._handle.id

    def status(self) -> str:
        """See ``RunHandle.status``."""
        return _wait(self._handle.status())

    def describe(self) -> runtime_service_pb2.DescribeRunResponse:
        """See ``RunHandle.describe``."""
        return _wait(self._handle.describe())

    def result(self, timeout: Duration | None = None) -> _R:
        """See ``RunHandle.result``."""
        return _wait(self._handle.result(timeout))

    def cancel(self, reason: str = "", *, force: bool = False, recursive: bool = False) -> bool:
        """See ``RunHandle.cancel``."""
        return _wait(self._handle.cancel(reason, force=force, recursive=recursive))

    def rerun(self) -> SyncRunHandle[_R]:
        """See ``RunHandle.rerun``."""
        return SyncRunHandle(_wait(self._handle.rerun()))

    def wake(self) -> int:
        """See ``RunHandle.wake``."""
        return _wait(self._handle.wake())

    def events(self) -> Iterator[event_pb2.Event]:
        """See ``RunHandle.events``; blocks until the next event."""
        return _iterate(self._handle.events())

    @overload
    def stream(
        self, name: str = "default", *, type: type[_I], start_index: int = 0, mode: str = "live"
    ) -> SyncStreamReader[_I]: ...

    @overload
    def stream(
        self, name: str = "default", *, type: Any = Any, start_index: int = 0, mode: str = "live"
    ) -> SyncStreamReader[Any]: ...

    def stream(
        self, name: str = "default", *, type: Any = Any, start_index: int = 0, mode: str = "live"
    ) -> SyncStreamReader[Any]:
        """See ``RunHandle.stream``."""
        return SyncStreamReader(self._handle.stream(name, type=type, start_index=start_index, mode=mode))

    def stream_info(self, name: str = "default") -> stream_service_pb2.StreamInfo:
        """See ``RunHandle.stream_info``."""
        return _wait(self._handle.stream_info(name))

    def __repr__(self) -> str:
        return f"<SyncRunHandle {self.id}>"


class SyncStreamReader(Generic[_R]):
    """A stream to be read, see ``StreamReader``; blocks until the next item."""

    def __init__(self, reader: StreamReader[_R]) -> None:
        self._reader = reader

    def __iter__(self) -> Iterator[_R]:
        return _iterate(aiter(self._reader))

    def chunks(self) -> Iterator[Chunk[_R] | Reset]:
        """See ``StreamReader.chunks``."""
        return _iterate(self._reader.chunks())


class SyncClient:
    """An application's view of a runtime, for plain code. Options as for ``Client``; use it with ``with``."""

    def __init__(
        self,
        address: str | None = None,
        *,
        token: str | Callable[[], str] | None = None,
        tls_ca: str | os.PathLike[str] | None = None,
        tls_cert: str | os.PathLike[str] | None = None,
        tls_key: str | os.PathLike[str] | None = None,
        patience: Duration = "1m",
        codec: Codec | None = None,
    ) -> None:
        self._client = Client(
            address, token=token, tls_ca=tls_ca, tls_cert=tls_cert, tls_key=tls_key, patience=patience, codec=codec
        )

    @overload
    def start(
        self,
        workflow: Callable[..., Coroutine[Any, Any, R]],
        /,
        *args: Any,
        id: str | None = None,
        attributes: Mapping[str, str] = _NONE,
        start_at: datetime | None = None,
        on_conflict: str = "fail",
        kwargs: Mapping[str, Any] = _NONE,
    ) -> SyncRunHandle[R]: ...

    @overload
    def start(
        self,
        workflow: str,
        /,
        *args: Any,
        id: str | None = None,
        attributes: Mapping[str, str] = _NONE,
        start_at: datetime | None = None,
        on_conflict: str = "fail",
        kwargs: Mapping[str, Any] = _NONE,
    ) -> SyncRunHandle[Any]: ...

    def start(self, workflow: Any, /, *args: Any, **options: Any) -> SyncRunHandle[Any]:
        """See ``Client.start``."""
        return SyncRunHandle(_wait(self._client.start(workflow, *args, **options)))

    def run(self, run_id: str) -> SyncRunHandle[Any]:
        """See ``Client.run``."""
        return SyncRunHandle(self._client.run(run_id))

    def cancel_many(
        self, ids: Iterable[str], reason: str = "", *, force: bool = False, recursive: bool = False
    ) -> dict[str, str]:
        """See ``Client.cancel_many``."""
        return _wait(self._client.cancel_many(ids, reason, force=force, recursive=recursive))

    def resume(
        self, token: str, value: Any = None, *, request_id: str | None = None
    ) -> runtime_service_pb2.ResumeHookResponse:
        """See ``Client.resume``."""
        return _wait(self._client.resume(token, value, request_id=request_id))

    def hook(self, token: str) -> entity_pb2.Hook:
        """See ``Client.hook``."""
        return _wait(self._client.hook(token))

    def runs(
        self,
        *,
        workflow: str | Callable[..., Coroutine[Any, Any, Any]] | None = None,
        status: str | Iterable[str] | None = None,
        attributes: Mapping[str, str] = _NONE,
    ) -> Iterator[entity_pb2.Run]:
        """See ``Client.runs``."""
        return _iterate(self._client.runs(workflow=workflow, status=status, attributes=attributes))

    def close(self) -> None:
        """See ``Client.close``."""
        _wait(self._client.close())

    def __enter__(self) -> SyncClient:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, place: TracebackType | None
    ) -> None:
        self.close()


@cache
def _loop() -> asyncio.AbstractEventLoop:
    # One for all clients of the process: gRPC's asyncio side is at its best with a single loop.
    loop = asyncio.new_event_loop()
    threading.Thread(target=loop.run_forever, name="holdfast-client", daemon=True).start()
    return loop


def _wait(work: Coroutine[Any, Any, R]) -> R:
    """Run a coroutine on the background loop and wait; an interrupt cancels it. Raises WrongContext in a workflow."""
    try:
        check_place()
    except BaseException:
        work.close()
        raise
    future = asyncio.run_coroutine_threadsafe(work, _loop())
    try:
        return future.result()
    except BaseException:
        future.cancel()
        raise


def _iterate(items: AsyncIterator[R]) -> Iterator[R]:
    """Draw one item after the other; leaving early closes what is behind."""
    end = object()

    async def following() -> Any:
        return await anext(items, end)

    async def close() -> None:
        await getattr(items, "aclose")()  # noqa: B009

    try:
        while (item := _wait(following())) is not end:
            yield item
    finally:
        _wait(close())
