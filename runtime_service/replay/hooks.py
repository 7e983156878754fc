"""Hooks that the workflow opened: registration, payloads in log order, conflict and disposal.

A payload is taken out of its queue by the waiter itself when it runs, never handed to a future. So a waiter that is
cancelled in the turn in which it was woken has taken nothing, and the next one finds it there (hazard 22). One task
waits at a time.
Proof: tests/replay/test_replay_hooks.py.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
from collections import deque

from holdfast.context import HookCall
from holdfast.errors import HookConflict, HookDisposed, WrongContext
from holdfast.v1 import event_pb2, payload_pb2
from runtime_service.replay.commands import Command, Commands, disposal_of
from runtime_service.replay.divergence import check_hook, not_called, unknown_entity
from runtime_service.replay.loop import ReplayLoop
from runtime_service.replay.step_creation import duration_of


class ReplayHook:
    """One hook; the ``HookPort`` of the authoring package."""

    def __init__(
        self, hook_id: str, token: str, asked_token: str, creation: Command, commands: Commands, loop: ReplayLoop
    ) -> None:
        self.hook_id = hook_id
        self.token = token
        self._asked_token = asked_token
        self._creation = creation
        self._commands = commands
        self._loop = loop
        self._payloads: deque[payload_pb2.Payload] = deque()
        self._waiters: deque[asyncio.Future[None]] = deque()
        self._registrations: deque[asyncio.Future[None]] = deque()
        self._holder_run_id: str | None = None
        self._is_registered = False
        self._is_closed = False

    async def registered(self) -> str | None:
        """Wait until the log has the hook; None, or the run that holds the token.

        Raises HookDisposed when the hook was closed before it was recorded.
        """
        while not self._is_registered and self._holder_run_id is None:
            if self._is_closed:
                raise HookDisposed(f"hook {self.hook_id} was disposed before it was registered")
            await self._wait_in(self._registrations)
        return self._holder_run_id

    async def next_payload(self) -> payload_pb2.Payload:
        """Take the next payload, waiting for it when there is none.

        Raises HookConflict or HookDisposed, and WrongContext when another task waits already: which of the two would
        get the payload is nothing that a reader of the code could tell.
        """
        while not self._payloads:
            self._raise_if_closed()
            self._raise_if_awaited()
            await self._wait_in(self._waiters)
        return self._payloads.popleft()

    def dispose(self) -> None:
        """Close the hook; payloads not taken are dropped. Idempotent."""
        if self._is_closed or self._holder_run_id is not None:
            return
        event = event_pb2.Event(correlation_id=self.hook_id, hook_disposed=event_pb2.HookDisposed())
        self._commands.emit(disposal_of(self.hook_id), event, requires=self._creation)
        if not self._creation.exists:
            # Nobody has heard of it: neither its creation nor its end is written, unless the log shows that it was.
            self._creation.is_wanted = False
        self._payloads.clear()
        self._close()

    # What the log says.

    def record(self, event: event_pb2.Event) -> None:
        check_hook(event, self._creation, self._asked_token)
        self.token = event.hook_created.token or self.token
        self._is_registered = True
        _wake_all(self._registrations)

    def conflict(self, event: event_pb2.Event) -> None:
        check_hook(event, self._creation, self._asked_token)
        self._holder_run_id = event.hook_conflict.holder_run_id
        self._commands.confirm(disposal_of(self.hook_id))
        _wake_all(self._registrations)
        _wake_all(self._waiters)

    def receive(self, payload: payload_pb2.Payload) -> None:
        if not self._is_closed:
            self._payloads.append(payload)
            _wake_one(self._waiters)

    def end(self, event: event_pb2.Event) -> None:
        """The log has the disposal: our own, or one from outside. Payloads that came before can still be taken."""
        is_ours = self._commands.confirm(disposal_of(self.hook_id)) is not None
        if not is_ours and event.origin == event_pb2.EVENT_ORIGIN_REPLAY:
            raise not_called(event, self._commands)
        self._close()

    def _close(self) -> None:
        self._is_closed = True
        _wake_all(self._waiters)
        _wake_all(self._registrations)

    def _raise_if_closed(self) -> None:
        if self._holder_run_id is not None:
            raise HookConflict(self.token, self._holder_run_id)
        if self._is_closed:
            raise HookDisposed(f"hook {self.hook_id} is disposed: no payload will come")

    def _raise_if_awaited(self) -> None:
        if any(not waiter.done() for waiter in self._waiters):
            raise WrongContext(
                f"hook {self.hook_id} is awaited by another task already: let one task await it and pass the values "
                "on, by an asyncio.Queue for instance, or open a hook for each"
            )

    async def _wait_in(self, waiters: deque[asyncio.Future[None]]) -> None:
        waiter: asyncio.Future[None] = self._loop.create_future()
        waiters.append(waiter)
        try:
            await waiter
        finally:
            if waiter in waiters:
                waiters.remove(waiter)


class Hooks:
    """The hooks of one run that have not ended."""

    def __init__(self, commands: Commands, loop: ReplayLoop) -> None:
        self._commands = commands
        self._loop = loop
        self._hooks: dict[str, ReplayHook] = {}
        self._key = b""
        self._run_id = ""

    def seed(self, run_id: str, event_id: str) -> None:
        """Take what generated tokens are made from: nobody guesses them who has not seen the run's first event."""
        self._run_id, self._key = run_id, event_id.encode()

    def open(self, call: HookCall) -> ReplayHook:
        """Open a hook; a token that nobody gave is derived, so it is known at once and the same in every replay."""
        hook_id = self._loop.scope().hook_id()
        token = call.token or self._generated_token(hook_id)
        creation = self._commands.emit(hook_id, _created(hook_id, token, call), call.source)
        hook = self._hooks[hook_id] = ReplayHook(hook_id, token, call.token, creation, self._commands, self._loop)
        return hook

    # What the log says.

    def created(self, event: event_pb2.Event) -> None:
        self._confirmed(event).record(event)

    def conflicted(self, event: event_pb2.Event) -> None:
        self._confirmed(event).conflict(event)
        del self._hooks[event.correlation_id]

    def received(self, event: event_pb2.Event) -> None:
        self._hook(event).receive(event.hook_received.payload)

    def disposed(self, event: event_pb2.Event) -> None:
        self._hook(event).end(event)
        del self._hooks[event.correlation_id]

    def _confirmed(self, event: event_pb2.Event) -> ReplayHook:
        if self._commands.confirm(event.correlation_id) is None:
            raise not_called(event, self._commands)
        return self._hooks[event.correlation_id]

    def _hook(self, event: event_pb2.Event) -> ReplayHook:
        hook = self._hooks.get(event.correlation_id)
        if hook is None:
            raise unknown_entity(event)
        return hook

    def _generated_token(self, hook_id: str) -> str:
        digest = hmac.new(self._key, f"{self._run_id}\n{hook_id}".encode(), hashlib.sha256).digest()
        return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()


def _created(hook_id: str, token: str, call: HookCall) -> event_pb2.Event:
    created = event_pb2.HookCreated(
        token=token,
        metadata=call.metadata,
        conflict_policy=event_pb2.HOOK_CONFLICT_POLICY_RECORD,
        payload_schema=call.payload_schema,
        min_retention=duration_of(call.min_retention_ms),
    )
    return event_pb2.Event(correlation_id=hook_id, hook_created=created)


def _wake_one(waiters: deque[asyncio.Future[None]]) -> None:
    while waiters:
        waiter = waiters.popleft()
        if not waiter.done():
            waiter.set_result(None)
            return


def _wake_all(waiters: deque[asyncio.Future[None]]) -> None:
    while waiters:
        _wake_one(waiters)
