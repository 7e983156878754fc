"""Senders of the ledger storm: values that arrive in bursts around the deadlines they race against.

A watch of the whole store tells when a branch set a sleep or began a step, and so when its deadline is; a burst of
values is sent to that branch's hook at about that moment, through one runtime or the other. Every value is sent until
it is answered, with one request id. What senders were told is all that is kept: accepted, or refused.
"""

from __future__ import annotations

import asyncio
import json
import random
from dataclasses import dataclass, field
from typing import Any

import grpc

from holdfast.addresses import target_of
from holdfast.errors import HookNotFound, NotReady
from holdfast.v1 import event_pb2, payload_pb2, runtime_service_pb2, runtime_service_pb2_grpc, store_service_pb2
from holdfast.wire import from_rpc_error
from tests.storms.store_calls import PAUSE_SECONDS, Event, StoreCalls, until_answered
from tests.storms.workflows import token_of

#: Milliseconds around a deadline at which the values of a burst are sent.
_OFFSETS_MS = (-12, -6, -3, -1, 0, 1, 3, 8)

#: How many values come for a deadline: most get one, so that hooks and rivals both win.
_BURSTS = (0, 1, 1, 1, 2)

_DEADLINES = (event_pb2.EVENT_TYPE_WAIT_CREATED, event_pb2.EVENT_TYPE_STEP_STARTED)


@dataclass(slots=True)
class Told:
    """What senders were told, by token."""

    accepted: dict[str, list[str]] = field(default_factory=dict)
    refused: dict[str, list[str]] = field(default_factory=dict)


class Senders:
    """Sends to every branch of every ledger run, while ``run`` runs. ``told`` is complete once ``finish`` returned."""

    def __init__(self, calls: StoreCalls, runtimes: list[str], rng: random.Random, seconds: float) -> None:
        self.told = Told()
        self._calls = calls
        self._channels = [grpc.aio.insecure_channel(target_of(address)) for address in runtimes]
        self._stubs: list[Any] = [runtime_service_pb2_grpc.RuntimeServiceStub(it) for it in self._channels]
        self._random = rng
        self._seconds = seconds
        self._sent = 0
        self._sending: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        """Follow the store for ever."""
        request = store_service_pb2.WatchEventsRequest(
            all_runs=True, start=store_service_pb2.WATCH_START_EARLIEST, types=_DEADLINES
        )
        while True:
            try:
                async for message in self._calls.events.WatchEvents(request):
                    request.cursor = message.cursor or request.cursor
                    for event in message.batch.events:
                        self._aim(event)
            except grpc.RpcError as error:
                if not isinstance(from_rpc_error(error), NotReady):
                    raise
            await asyncio.sleep(PAUSE_SECONDS)

    async def finish(self) -> None:
        """Wait until everything sent has its answer."""
        if self._sending:
            await asyncio.gather(*self._sending)
        for channel in self._channels:
            await channel.close()

    def _aim(self, event: Event) -> None:
        branch = branch_of(event.correlation_id)
        if branch is None:
            return
        if event.HasField("wait_created"):
            due_ms = event.wait_created.resume_time.ToMilliseconds()
        else:
            due_ms = event.occur_time.ToMilliseconds() + int(self._seconds * 1000)
        in_ms = due_ms - event.create_time.ToMilliseconds()
        for _ in range(self._random.choice(_BURSTS)):
            self._sent += 1
            token = token_of(event.run_id, branch)
            delay = max(0, in_ms + self._random.choice(_OFFSETS_MS)) / 1000
            task = asyncio.create_task(self._send(token, f"{token}:{self._sent}", delay))
            self._sending.add(task)
            task.add_done_callback(self._sending.discard)

    async def _send(self, token: str, value: str, delay: float) -> None:
        await asyncio.sleep(delay)
        payload = payload_pb2.Payload(text=json.dumps(value))
        request = runtime_service_pb2.ResumeHookRequest(token=token, payload=payload, request_id=value)
        try:
            await until_answered(self._random.choice(self._stubs).ResumeHook, request)
        except HookNotFound:
            self.told.refused.setdefault(token, []).append(value)
        else:
            self.told.accepted.setdefault(token, []).append(value)


def branch_of(entity_id: str) -> int | None:
    """Return the branch that an entity belongs to: the first part of its task path, counted from 1."""
    path = entity_id.partition("_")[2].partition("/")
    return int(path[0]) - 1 if path[1] and path[0].isdecimal() else None
