"""A real store for tests: in this process or as a process of its own, always a real port and a real SQLite file.

Fixtures in ``tests/conftest.py``: `store` and `store_address` (in this process, real time), `store_process` (a process
that can be killed with SIGKILL, paused and started again on the same port and file). Everything else here is for tests
that want more: another clock, tokens, lower limits.

    async def test_something(store):
        run = await create_run(store.client)
        await store.client.events.CreateEvent(...)
        with refused("STALE_SNAPSHOT") as refusal: ...
"""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import pytest
from google.protobuf.message import Message
from google.rpc import error_details_pb2, status_pb2

from holdfast.v1 import (
    error_pb2,
    event_pb2,
    queue_service_pb2_grpc,
    session_service_pb2_grpc,
    store_service_pb2,
    store_service_pb2_grpc,
    stream_service_pb2_grpc,
)
from store_service.api.clock import Clock
from store_service.engines.contract import Engine
from store_service.engines.sqlite.inspection import read_file
from store_service.server import RunningStore, serve
from store_service.settings import StoreSettings
from tests.checkers.log_audit import audit

#: Seconds after which a test gives up waiting for something that should come at once.
DEADLINE_SECONDS = 20.0

_STATUS_KEY = "grpc-status-details-bin"


class StoreClient:
    """Stubs of a store on one channel: ``events``, ``queue``, ``streams`` and ``session``; all of grpc.aio.

    Use as an async context manager or call `close`.
    """

    def __init__(self, address: str, *, token: str = "") -> None:
        self.address = address
        interceptors = [_Bearer(token), _BearerStream(token)] if token else []
        # A pool of its own: channels to one address share their backoff, so that a fresh client would wait for the
        # patience of an older one that met the store while it was down.
        options = [("grpc.use_local_subchannel_pool", 1)]
        self.channel = grpc.aio.insecure_channel(address, options=options, interceptors=interceptors)
        self.events: Any = store_service_pb2_grpc.StoreServiceStub(self.channel)
        self.queue: Any = queue_service_pb2_grpc.QueueServiceStub(self.channel)
        self.streams: Any = stream_service_pb2_grpc.StreamServiceStub(self.channel)
        self.session: Any = session_service_pb2_grpc.SessionServiceStub(self.channel)

    async def __aenter__(self) -> StoreClient:
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.close()

    async def close(self) -> None:
        await self.channel.close()


def _with_token(details: Any, token: str) -> Any:
    metadata = grpc.aio.Metadata(*(details.metadata or ()), ("authorization", f"Bearer {token}"))
    return details._replace(metadata=metadata)


class _Bearer(grpc.aio.UnaryUnaryClientInterceptor):
    def __init__(self, token: str) -> None:
        self._token = token

    async def intercept_unary_unary(self, continuation: Any, details: Any, request: Any) -> Any:
        return await continuation(_with_token(details, self._token), request)


class _BearerStream(grpc.aio.UnaryStreamClientInterceptor):
    def __init__(self, token: str) -> None:
        self._token = token

    async def intercept_unary_stream(self, continuation: Any, details: Any, request: Any) -> Any:
        return await continuation(_with_token(details, self._token), request)


@dataclass
class Store:
    """A store in this process: its address, a client on it, and its parts for looking inside."""

    address: str
    client: StoreClient
    running: RunningStore
    database: Path
    #: Whether logs, rows and liveness are audited at the end; switched off by a test that breaks them on purpose.
    is_audited: bool = True

    @property
    def engine(self) -> Engine:
        return self.running.parts.engine


@asynccontextmanager
async def running_store(
    database: Path, *, clock: Clock | None = None, engine: Engine | None = None, token: str = "", **settings: Any
) -> AsyncIterator[Store]:
    """Run a store in this process on a free port. Its drain at the end waits for open calls no longer than 1 s.

    ``token`` is also the client's; ``settings`` are those of `StoreSettings`.
    """
    settings = {"listen": "127.0.0.1:0", "drain_seconds": 1.0, **settings}
    wanted = StoreSettings(database=f"sqlite:///{database}", token=token, **settings)
    async with (
        await serve(wanted, clock=clock, engine=engine) as running,
        StoreClient(running.address, token=token) as client,
    ):
        store = Store(running.address, client, running, database)
        yield store
        if store.is_audited and engine is None:
            found = read_file(str(database), partial(audit, now_ms=running.parts.clock()))
            assert not found.findings, found.findings


class StoreProcess:
    """``python -m store_service`` as a real process on a port that stays the same over restarts."""

    def __init__(self, database: Path, **environment: str) -> None:
        self.database = database
        #: Whether logs and rows are audited at the end; see `Store.is_audited`.
        self.is_audited = True
        self.address = ""
        self._environment = environment
        self._process: subprocess.Popen[str] | None = None
        self._errors: list[str] = []
        self.start()

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    @property
    def stderr(self) -> str:
        """What it has logged so far, over all its lives."""
        return "".join(self._errors)

    def start(self) -> None:
        """Start it, on the port it had before, and return once it serves."""
        listen = self.address or "127.0.0.1:0"
        arguments = ["--listen", listen, "--database", f"sqlite:///{self.database}"]
        self._process = subprocess.Popen(
            [sys.executable, "-m", "store_service", *arguments],
            env={**os.environ, **self._environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        threading.Thread(target=self._collect, args=(self._process.stderr,), daemon=True).start()
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise AssertionError(f"the store did not start: {self._process.wait()} {self.stderr}")
        self.address = line.split(" on ")[1].split(" ")[0]

    def _collect(self, lines: Any) -> None:
        self._errors.extend(lines)

    def kill(self) -> None:
        """SIGKILL it, as a crash would; returns once it is gone."""
        self._signal(signal.SIGKILL)
        self.wait()

    def terminate(self) -> None:
        """SIGTERM it and return at once; `wait` for the exit code."""
        self._signal(signal.SIGTERM)

    def pause(self) -> None:
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        self._signal(signal.SIGCONT)

    def restart(self) -> None:
        """SIGKILL and start again on the same port and file."""
        self.kill()
        self.start()

    def wait(self) -> int:
        """Wait for its end and return the exit code."""
        assert self._process is not None
        return self._process.wait(DEADLINE_SECONDS)

    def close(self) -> None:
        """End it for good, whatever state it is in."""
        if self._process is not None and self._process.poll() is None:
            self._signal(signal.SIGCONT)
            self.kill()

    def _signal(self, number: int) -> None:
        assert self._process is not None
        self._process.send_signal(number)


@dataclass
class Refused:
    """An error answer taken apart; filled when the block of `refused` has ended."""

    code: grpc.StatusCode = grpc.StatusCode.OK
    status: status_pb2.Status = None  # type: ignore[assignment]
    info: error_details_pb2.ErrorInfo = None  # type: ignore[assignment]

    @property
    def message(self) -> str:
        return self.status.message

    def detail(self, kind: type[Message]) -> Any:
        """Return the detail of a type, None when there is none."""
        for packed in self.status.details:
            found = kind()
            if packed.Unpack(found):
                return found
        return None

    @property
    def field(self) -> str:
        """The path of the field that INVALID_FIELD names."""
        return str(self.detail(error_details_pb2.BadRequest).field_violations[0].field)

    @property
    def stale(self) -> error_pb2.StaleSnapshot:
        found: error_pb2.StaleSnapshot = self.detail(error_pb2.StaleSnapshot)
        return found


@contextmanager
def refused(reason: str) -> Iterator[Refused]:
    """Expect the calls of the block to be refused with ``reason``; what came back is in the value."""
    found = Refused()
    with pytest.raises(grpc.RpcError) as caught:
        yield found
    take_apart(caught.value, found)
    assert found.info.reason == reason, f"{found.info.reason}: {found.message}"


def take_apart(error: Any, into: Refused | None = None) -> Refused:
    """Take the status of a failed call apart. Fails when the call carries none."""
    found = into or Refused()
    found.code = error.code()
    trailers = dict(error.trailing_metadata() or ())
    assert _STATUS_KEY in trailers, f"{error.code()}: {error.details()} carries no status"
    found.status = status_pb2.Status.FromString(trailers[_STATUS_KEY])
    found.info = found.detail(error_details_pb2.ErrorInfo)
    return found


async def create_run(
    client: StoreClient, run_id: str = "", *, workflow_name: str = "orders.ship", is_started: bool = True, **fields: Any
) -> store_service_pb2.CreateEventsResponse:
    """Create a run, started unless told otherwise; ``fields`` are those of `RunCreated`."""
    created = event_pb2.RunCreated(workflow_name=workflow_name, **fields)
    events = [event_pb2.Event(run_created=created)]
    if is_started:
        events.append(event_pb2.Event(run_started=event_pb2.RunStarted()))
    request = store_service_pb2.CreateEventsRequest(run_id=run_id, events=events)
    response: store_service_pb2.CreateEventsResponse = await client.events.CreateEvents(request)
    return response


async def add(
    client: StoreClient, run_id: str, event: event_pb2.Event, **fields: Any
) -> store_service_pb2.CreateEventResponse:
    """Append one event; ``fields`` are those of `CreateEventRequest`."""
    request = store_service_pb2.CreateEventRequest(run_id=run_id, event=event, **fields)
    response: store_service_pb2.CreateEventResponse = await client.events.CreateEvent(request)
    return response


def hook_created(hook_id: str = "hook_#1", **fields: Any) -> event_pb2.Event:
    return event_pb2.Event(correlation_id=hook_id, hook_created=event_pb2.HookCreated(**fields))


def hook_received(hook_id: str = "hook_#1", text: str = "1") -> event_pb2.Event:
    event = event_pb2.Event(correlation_id=hook_id)
    event.hook_received.payload.text = text
    return event


def run_completed() -> event_pb2.Event:
    return event_pb2.Event(run_completed=event_pb2.RunCompleted())


async def fingerprint(engine: Engine) -> tuple[int, tuple[Any, ...]]:
    """Return what would change if anything was written: newest position, and the counts of every queue."""

    def look(reader: Any) -> tuple[int, tuple[Any, ...]]:
        names = reader.queue_names(after="", limit=1000)
        return reader.last_position(), tuple(reader.queue_counts(name, 0) for name in names)

    return await engine.read(look)


async def eventually(condition: Any, *, seconds: float = DEADLINE_SECONDS) -> Any:
    """Call ``condition()`` until it is true and return it; for what tells nobody when it happens.

    The condition may be a plain function or a coroutine function.
    """
    deadline = time.monotonic() + seconds
    while True:
        found = condition()
        if asyncio.iscoroutine(found):
            found = await found
        if found:
            return found
        assert time.monotonic() < deadline, "it did not happen in time"
        await asyncio.sleep(0.02)
