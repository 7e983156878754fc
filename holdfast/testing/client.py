"""A client of the runtime in this process: `holdfast.Client`, with waits that let virtual time go on.

Owns the connection without a socket. Whoever waits here for a run (its result, its events, its streams) lets time go
on; every other call takes no time. A wait that nothing will ever end raises `RunStuck` and says what the run waits for.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import grpc.aio

from holdfast.client import Client
from holdfast.connection import Connection
from holdfast.security.channels import ClientTls
from holdfast.testing.services import World
from holdfast.testing.timekeeper import Hopeless
from holdfast.v1 import entity_pb2, payload_pb2, runtime_service_pb2


class RunStuck(AssertionError):
    """A run that a test waits for can go no further: nothing in the environment is due and nobody does anything.

    ``run_id`` is the run, ``reason`` what it waits for or why it is blocked.
    """

    def __init__(self, run_id: str, reason: str) -> None:
        super().__init__(f"run {run_id} can go no further: {reason}")
        self.run_id = run_id
        self.reason = reason


class InProcessClient(Client):
    """A `holdfast.Client` of a world."""

    def __init__(self, connection: InProcessConnection) -> None:
        self._connection = connection


class InProcessConnection(Connection):
    """A connection to the runtime of a world. ``when_ended`` is awaited with each run whose end was waited for."""

    def __init__(self, world: World, when_ended: Callable[[entity_pb2.Run], Awaitable[None]] | None = None) -> None:
        super().__init__("in process", token="", tls=ClientTls(), patience=60)
        self._world = world
        self._when_ended = when_ended

    async def call(self, method: str, request: Any, **options: Any) -> Any:
        """Make one call, see ``Connection.call``; what it began may let time go on."""
        try:
            return await super().call(method, request, **options)
        finally:
            self._world.keeper.nudge()

    async def ended(self, run_id: str, limit_ms: int | None) -> entity_pb2.Run | None:
        """Wait for the end of a run in virtual time; None when the limit passed first. Raises RunStuck."""
        until_ms = None if limit_ms is None else self._world.clock() + limit_ms
        telling = asyncio.create_task(self._world.until_ended(run_id))
        try:
            while True:
                answer = await self.call("AwaitRun", _now(run_id))
                if answer.done:
                    run: entity_pb2.Run = answer.run
                    if self._when_ended is not None:
                        await self._when_ended(run)
                    return run
                if not await self._wait(telling, run_id, until_ms):
                    return None
        finally:
            telling.cancel()

    async def _wait(self, telling: asyncio.Task[None], run_id: str, until_ms: int | None) -> bool:
        """Let time go on until the run has ended; False when the time is over."""
        with self._world.keeper.waiting(until_ms) as wait:
            await asyncio.wait({telling, wait.over}, return_when=asyncio.FIRST_COMPLETED)
            if telling.done():
                return True
            try:
                wait.over.result()
            except Hopeless:
                raise RunStuck(run_id, await self._why(run_id)) from None
            return False

    async def _why(self, run_id: str) -> str:
        found = await self.call("DescribeRun", runtime_service_pb2.DescribeRunRequest(run_id=run_id))
        if found.HasField("last_replay_failure"):
            return f"it is blocked by {found.last_replay_failure.type}: {found.last_replay_failure.message}"
        open_ones = [
            *(f"hook {it.token!r} ({it.hook_id})" for it in found.open_hooks),
            *(f"{it.wait_id}" for it in found.open_waits),
            *(f"step {it.step_name} ({it.step_id})" for it in found.open_steps),
        ]
        if not open_ones:
            return "it waits for nothing that is recorded"
        return f"it waits for {', '.join(open_ones)}, and nothing in this environment is due: resume or cancel it"

    def stream(self, method: str, request: Any) -> Any:
        """Open one server stream; while it is waited for, time may go on."""
        return _Followed(super().stream(method, request), self, request.run_id)

    async def follow(self, call: Any, run_id: str) -> Any:
        """Return the next message of a stream. Raises StopAsyncIteration, RunStuck and what the call fails with."""
        following = asyncio.ensure_future(_next(call))
        try:
            with self._world.keeper.waiting() as wait:
                await asyncio.wait({following, wait.over}, return_when=asyncio.FIRST_COMPLETED)
                if not following.done():
                    assert isinstance(wait.over.exception(), Hopeless)
                    raise RunStuck(run_id, await self._why(run_id))
        finally:
            following.cancel()
        message = following.result()
        if message is None:
            raise StopAsyncIteration
        return message

    def _open(self) -> grpc.aio.Channel:
        return self._world.channel  # type: ignore[return-value]


class _Followed:
    """A stream whose reader lets time go on."""

    def __init__(self, call: Any, connection: InProcessConnection, run_id: str) -> None:
        self._call = call
        self._connection = connection
        self._run_id = run_id

    def __aiter__(self) -> _Followed:
        return self

    async def __anext__(self) -> Any:
        return await self._connection.follow(self._call, self._run_id)

    def cancel(self) -> bool:
        cancelled: bool = self._call.cancel()
        return cancelled


async def _next(call: Any) -> Any:
    """Return the next message, None at the end: a task cannot raise StopAsyncIteration."""
    return await anext(call, None)


def _now(run_id: str) -> runtime_service_pb2.AwaitRunRequest:
    request = runtime_service_pb2.AwaitRunRequest(run_id=run_id, view=payload_pb2.PAYLOAD_VIEW_STORED)
    request.timeout.FromMilliseconds(0)
    return request
