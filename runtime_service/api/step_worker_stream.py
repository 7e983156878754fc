"""WorkSteps: the unary calls of a step worker over one stream, with credit, pushed cancellation and a drain handshake.

Owns one worker's stream and nothing that outlives it: tasks are the worker's, not the stream's. Three things go on at
once: commands are carried out in their order, tasks are taken as far as the credit goes, silence is filled with signs
of life. When the stream ends and the worker has not settled a task, the lease is shortened, so that a worker which died
with its connection is noticed soon, and one that lost only that has time to come back with a heartbeat.
Proof: tests/step_workers/test_work_stream.py.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping
from contextlib import ExitStack
from types import MappingProxyType
from typing import Any, Final

import structlog

from holdfast.errors import HoldfastError
from holdfast.refusal import Refusal, invalid_field
from holdfast.v1 import event_pb2
from holdfast.v1 import step_worker_service_pb2 as pb
from runtime_service.api import checks
from runtime_service.api import step_worker_checks as worker_checks
from runtime_service.api.errors import as_refusal
from runtime_service.api.step_worker_desk import Desk, as_task
from runtime_service.store import is_passing, milliseconds
from runtime_service.tasks import limits
from runtime_service.tasks.token import TaskToken, read_token

log = structlog.get_logger(__name__)

#: Length of one poll of the store, and the pause after a failed one.
_POLL_MS: Final = 30_000
_PAUSE_SECONDS: Final = 0.2

#: Answers that wait for the transport; a worker that does not read them is not read either.
_OUTBOX_MAX: Final = 64

#: Ends of runs, which are the ends of all their steps.
_RUN_ENDS: Final = (
    event_pb2.EVENT_TYPE_RUN_COMPLETED,
    event_pb2.EVENT_TYPE_RUN_FAILED,
    event_pb2.EVENT_TYPE_RUN_CANCELLED,
)


async def work_steps(desk: Desk, commands: AsyncIterator[pb.WorkStepsRequest]) -> AsyncIterator[pb.WorkStepsResponse]:
    """Serve one worker until it has closed its side. Raises Refusal, and what the store answers for good."""
    stream = _Stream(desk, await _first(commands))
    async for message in stream.messages(commands):
        yield message


async def _first(commands: AsyncIterator[pb.WorkStepsRequest]) -> pb.WorkStepsOpen:
    async for command in commands:
        if command.WhichOneof("command") != "open":
            break
        return command.open
    raise invalid_field("open", "is not set; it must be the first message of a worker")


class _Stream:
    """One stream. Its tasks on the loop live as long as ``messages`` is iterated."""

    def __init__(self, desk: Desk, opening: pb.WorkStepsOpen) -> None:
        worker_checks.check_worker(opening.worker_id, "open.worker_id")
        self._desk = desk
        self._worker_id = opening.worker_id
        self._queues = worker_checks.queues_of(opening.filter, "open.filter")
        self._silence_ms = checks.duration_ms(
            opening,
            "heartbeat_interval",
            default=limits.SIGN_OF_LIFE_MS_DEFAULT,
            least=limits.SIGN_OF_LIFE_MS_MIN,
            most=limits.SIGN_OF_LIFE_MS_MAX,
        )
        self._credit = 0
        self._grant(opening.initial_credit, "open.initial_credit")
        self._has_credit = asyncio.Event()
        self._outbox: asyncio.Queue[pb.WorkStepsResponse | None] = asyncio.Queue(_OUTBOX_MAX)
        self._held: dict[str, ExitStack] = {}
        self._taking: asyncio.Task[None] | None = None
        self._obeying: asyncio.Task[None] | None = None

    async def messages(self, commands: AsyncIterator[pb.WorkStepsRequest]) -> AsyncIterator[pb.WorkStepsResponse]:
        """Yield what the server says."""
        yield pb.WorkStepsResponse(opened=pb.WorkStepsOpened(heartbeat_interval=milliseconds(self._silence_ms)))
        self._taking = self._begin(self._take_tasks())
        self._obeying = self._begin(self._obey(commands))
        try:
            while (message := await self._next()) is not None:
                yield message
            for task in (self._obeying, self._taking):
                if task.done() and not task.cancelled():
                    task.result()
        finally:
            self._taking.cancel()
            self._obeying.cancel()
            await asyncio.gather(self._taking, self._obeying, return_exceptions=True)
            self._let_go_of_all()

    def _begin(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work, name="work-steps")
        task.add_done_callback(self._end)
        return task

    def _end(self, task: asyncio.Task[None]) -> None:
        """End the stream with its commands, or with an error of either side."""
        if task is self._obeying or (not task.cancelled() and task.exception() is not None):
            while self._outbox.full():
                self._outbox.get_nowait()
            self._outbox.put_nowait(None)

    async def _next(self) -> pb.WorkStepsResponse | None:
        try:
            async with asyncio.timeout(self._silence_ms / 1000):
                return await self._outbox.get()
        except TimeoutError:
            heartbeat = pb.WorkStepsHeartbeat()
            heartbeat.server_time.FromMilliseconds(self._desk.front.worker.clock())
            return pb.WorkStepsResponse(heartbeat=heartbeat)

    # Tasks to the worker.

    async def _take_tasks(self) -> None:
        """Take tasks as far as the credit goes, until the process drains."""
        draining = self._desk.front.draining
        while not draining.is_set():
            if not self._credit:
                self._has_credit.clear()
                await _either(self._has_credit.wait(), draining.wait())
                continue
            try:
                taken = await self._desk.take(self._queues, self._worker_id, _POLL_MS)
            except (HoldfastError, Refusal) as error:
                if isinstance(error, HoldfastError) and not is_passing(error):
                    raise
                await _either(asyncio.sleep(_PAUSE_SECONDS), draining.wait())
                continue
            if taken is not None:
                self._credit -= 1
                self._hold(taken.token)
                await self._outbox.put(pb.WorkStepsResponse(task=as_task(taken)))
        await self._outbox.put(pb.WorkStepsResponse(draining=self._draining()))

    def _draining(self) -> pb.WorkStepsDraining:
        worker = self._desk.front.worker
        draining = pb.WorkStepsDraining()
        draining.deadline.FromMilliseconds(worker.clock() + round(worker.options.drain_seconds * 1000))
        return draining

    def _hold(self, token: TaskToken) -> None:
        """Follow a task's run, to push its cancellation, until the worker has settled it."""
        text = token.written()
        if text not in self._held:
            following = self._held[text] = ExitStack()
            ends = self._desk.front.worker.ends
            following.enter_context(ends.follow(token.run_id, lambda event: self._tell_end(token, event)))

    def _tell_end(self, token: TaskToken, event: event_pb2.Event | None) -> None:
        """Push a cancellation when the step ended, or its run did, and the worker has not said so itself."""
        is_over = event is not None and (event.type in _RUN_ENDS or event.correlation_id == token.step_id)
        text = token.written()
        if is_over and text in self._held and not self._outbox.full():
            cancel = pb.WorkStepsCancel(task_token=text, reason=_why(event))
            self._outbox.put_nowait(pb.WorkStepsResponse(cancel=cancel))

    def _let_go_of(self, text: str) -> None:
        if (following := self._held.pop(text, None)) is not None:
            following.close()

    def _let_go_of_all(self) -> None:
        for text in list(self._held):
            self._let_go_of(text)
            _later(self._desk.reporting.hasten_loss(read_token(text)))

    # Commands of the worker.

    async def _obey(self, commands: AsyncIterator[pb.WorkStepsRequest]) -> None:
        """Carry out the worker's commands in order, until it closes its side."""
        async for command in commands:
            name = command.WhichOneof("command") or "command"
            if name not in _COMMANDS:
                raise invalid_field(name, "is not a command that may follow the first message")
            result = pb.WorkStepsResult(command_id=command.command_id)
            try:
                await _COMMANDS[name](self, getattr(command, name), result)
            except (HoldfastError, Refusal) as error:
                refusal = error if isinstance(error, Refusal) else as_refusal(error)
                result.reason, result.message = refusal.reason, refusal.message
            if command.command_id:
                await self._outbox.put(pb.WorkStepsResponse(result=result))

    def _grant(self, tasks: int, field: str) -> None:
        if not 0 <= tasks <= limits.CREDIT_MAX - self._credit:
            raise invalid_field(field, f"open credit must be 0 to {limits.CREDIT_MAX}, would be {self._credit + tasks}")
        self._credit += tasks

    async def _take_credit(self, command: pb.WorkStepsCredit, result: pb.WorkStepsResult) -> None:
        self._grant(command.tasks, "credit.tasks")
        self._has_credit.set()

    async def _heartbeat(self, command: pb.HeartbeatStepRequest, result: pb.WorkStepsResult) -> None:
        # A worker that came back on a new stream: its tasks are told of on this one from now on.
        self._hold(read_token(command.task_token))
        result.heartbeat.CopyFrom(await self._desk.heartbeat(command))

    async def _complete(self, command: pb.CompleteStepRequest, result: pb.WorkStepsResult) -> None:
        self._let_go_of(command.task_token)
        await self._desk.complete(command)

    async def _fail(self, command: pb.FailStepRequest, result: pb.WorkStepsResult) -> None:
        self._let_go_of(command.task_token)
        result.fail.CopyFrom(await self._desk.fail(command))

    async def _release(self, command: pb.ReleaseStepRequest, result: pb.WorkStepsResult) -> None:
        self._let_go_of(command.task_token)
        await self._desk.release(command)

    async def _drain(self, command: pb.WorkStepsDrain, result: pb.WorkStepsResult) -> None:
        assert self._taking is not None
        self._taking.cancel()


#: Command → what it does. All but `open`; the tests hold it complete.
_COMMANDS: Final[Mapping[str, Callable[[_Stream, Any, pb.WorkStepsResult], Awaitable[None]]]] = MappingProxyType(
    {
        "credit": _Stream._take_credit,
        "heartbeat": _Stream._heartbeat,
        "complete": _Stream._complete,
        "fail": _Stream._fail,
        "release": _Stream._release,
        "drain": _Stream._drain,
    }
)

_BACKGROUND: Final[set[asyncio.Task[None]]] = set()


def _later(work: Coroutine[Any, Any, None]) -> None:
    """Do something that the end of a stream must not wait for; a task that is lost already is fine."""

    async def quietly() -> None:
        try:
            await work
        except (HoldfastError, Refusal) as error:
            log.info("task of a broken stream left to its lease", why=str(error))

    task = asyncio.create_task(quietly(), name="work-steps-after")
    _BACKGROUND.add(task)
    task.add_done_callback(_BACKGROUND.discard)


async def _either(*waits: Coroutine[Any, Any, Any]) -> None:
    tasks = [asyncio.ensure_future(wait) for wait in waits]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()


def _why(event: event_pb2.Event | None) -> str:
    if event is not None and event.type in _RUN_ENDS:
        return "its run has ended"
    told = event.step_failed.failure.message if event is not None else ""
    return told or "the workflow no longer waits for it"
