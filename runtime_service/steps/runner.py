"""Runs attempts of steps: starts the body, watches its deadlines, reports what became of it.

A body's ending is reported once, or not at all when the attempt was called off without record (the lease is lost, the
process drains). The next attempt of a step never overlaps with an async body of the one before: a cancelled body is
waited for, up to a grace. A thread cannot be killed: its flag is set and its late result is dropped.
Must never let a body end the service. What an ending means is ``outcomes.py``; how a body is called, ``bodies.py``.
"""

from __future__ import annotations

import asyncio
import functools
import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import structlog

from holdfast.context import RunsPort
from holdfast.errors import SerializationError, StepTimeout
from holdfast.serialization import decode_args, encode_result
from holdfast.v1 import event_pb2, payload_pb2
from runtime_service import spans
from runtime_service.replay.clock import stamp_of
from runtime_service.steps import outcomes
from runtime_service.steps.attempt import Attempt, Outcome
from runtime_service.steps.bodies import Ending, Raised, Threads, fresh_context, run_coroutine
from runtime_service.steps.context import AttemptContext, Respond
from runtime_service.steps.deadlines import Deadlines
from runtime_service.steps.limits import CANCEL_GRACE_SECONDS, MS, STREAM_GRACE_SECONDS
from runtime_service.steps.streams import AppendChunks, AttemptStreams

__all__ = ["Attempt", "Outcome", "RunningAttempt", "StepRunner"]

log = structlog.get_logger(__name__)

Report = Callable[[Outcome], None]


class StepRunner:
    """Starts attempts on the running loop; plain functions go to at most ``threads`` threads.

    ``now_ms`` is the clock that facts are stamped with; ``rng`` is the jitter of retries; ``append_chunks`` is how what
    a step writes to streams reaches the store; ``respond`` is how a step answers the sender of a webhook's request;
    ``runs`` is what the built-in steps for child runs work with.
    """

    def __init__(
        self,
        *,
        threads: int,
        now_ms: Callable[[], int],
        rng: random.Random,
        cancel_grace_seconds: float = CANCEL_GRACE_SECONDS,
        append_chunks: AppendChunks | None = None,
        respond: Respond | None = None,
        runs: RunsPort | None = None,
    ) -> None:
        self.threads: Final = Threads(threads)
        self.now_ms: Final = now_ms
        self.rng: Final = rng
        self.cancel_grace_seconds: Final = cancel_grace_seconds
        self.append_chunks: Final = append_chunks
        self.respond: Final = respond
        self.runs: Final = runs
        self.is_closed = False
        self._tasks: set[asyncio.Task[object]] = set()

    def start(self, attempt: Attempt, report: Report) -> RunningAttempt:
        """Begin an attempt at once; ``report`` is called on the loop, later, and never from within this call."""
        return RunningAttempt(self, attempt, report)

    def close(self) -> None:
        """Cancel every body that is still there, cancelled ones that did not react among them; nothing is reported."""
        self.is_closed = True
        for task in list(self._tasks):
            task.cancel()

    def keep(self, task: asyncio.Task[object]) -> None:
        """Hold on to a task until ``let_go``: the loop itself does not."""
        self._tasks.add(task)

    def let_go(self, task: asyncio.Task[object]) -> None:
        """The task has ended."""
        self._tasks.discard(task)


@dataclass(frozen=True, slots=True)
class _CalledOff:
    """The attempt was cancelled before its body had ended."""

    reason: str


class RunningAttempt:
    """An attempt under way."""

    def __init__(self, runner: StepRunner, attempt: Attempt, report: Report) -> None:
        self._runner = runner
        self._attempt = attempt
        self._report = report
        self._wake = asyncio.Event()
        self._cancel_reason: str | None = None
        self._is_recorded = True
        self._deadlines = Deadlines(
            attempt.definition, total_left_ms=_total_left_ms(attempt, runner.now_ms), monotonic_ms=_monotonic_ms
        )
        self._context = AttemptContext(
            attempt,
            self._deadlines,
            self._report_attributes,
            AttemptStreams(attempt, runner.append_chunks),
            runner.respond,
            runner.runs,
        )
        self._span = spans.attempt(
            attempt.trace_context, attempt.run, attempt.step_id, attempt.definition.name, attempt.attempt
        )
        self._is_watched = False
        self._task = self._begin_body()
        if self._deadlines.exist:
            self._begin_watch()

    @property
    def details(self) -> payload_pb2.Payload | None:
        """What was reported last with a heartbeat, by this attempt or one before; None when nothing was."""
        return self._context.details

    def cancel(self, reason: str, *, record: bool) -> None:
        """Call the attempt off. Idempotent.

        ``record``: the outcome is a step_failed of category CANCELLED, unless the body had ended by then. Without it
        nothing is reported any more, not even when an earlier cancel asked for it.
        """
        self._is_recorded = self._is_recorded and record
        self._cancel_reason = self._cancel_reason or reason
        self._wake.set()
        # A body that has ended already counts, and its end is about to be told.
        if not self._is_watched and not self._task.done():
            self._begin_watch()

    def _begin_watch(self) -> None:
        """Wait for more than the end of the body. Not before there is something: a task an attempt costs time."""
        self._is_watched = True
        watch = asyncio.create_task(self._watch(self._task), name=f"attempt:{self._attempt.step_id}")
        watch.add_done_callback(self._watch_ended)
        self._runner.keep(watch)

    def _body_ended(self, body: asyncio.Task[Ending]) -> None:
        self._runner.let_go(body)
        if self._is_watched:
            self._wake.set()
        else:
            self._tell(body)

    def _watch_ended(self, watch: asyncio.Task[Ending | _CalledOff]) -> None:
        self._runner.let_go(watch)
        self._tell(watch)

    def _tell(self, ended: asyncio.Task[Ending | _CalledOff]) -> None:
        """Report what became of the attempt, once: ``ended`` is its body, or who watched that."""
        try:
            event = self._judge(_ending_of(ended))
        except Exception as bug:
            # An exception object that cannot be described must not leave its step running for ever.
            log.exception("attempt could not be judged", step_id=self._attempt.step_id)
            event = outcomes.failed(self._attempt, _internal(bug), self._runner.now_ms())
        finally:
            self._context.close()
        is_told = self._is_recorded and not self._runner.is_closed
        self._span.end(event if is_told else None)
        if is_told:
            self._report(Outcome(event))

    async def _watch(self, body: asyncio.Task[Ending]) -> Ending | _CalledOff:
        """Wait for the body, a deadline or a cancel, whichever is first; returns what that means for the attempt."""
        while not body.done() and self._cancel_reason is None:
            if kind := self._deadlines.passed:
                await self._stop(body, f"the {kind} timeout of the step has passed")
                return Raised(StepTimeout(kind))
            await self._pause()
        if body.done():
            return _ending_of(body)
        reason = self._cancel_reason or ""
        await self._stop(body, reason)
        return _CalledOff(reason)

    async def _pause(self) -> None:
        left_ms = self._deadlines.left_ms
        loop = asyncio.get_running_loop()
        timer = None if left_ms is None else loop.call_later(left_ms / MS, self._wake.set)
        await self._wake.wait()
        self._wake.clear()
        if timer is not None:
            timer.cancel()

    async def _stop(self, body: asyncio.Task[Ending], reason: str) -> None:
        """Cancel the body and give its ``finally`` blocks time; what it returns after that is dropped."""
        self._context.is_cancelled = True
        body.cancel(reason)
        done, _ = await asyncio.wait({body}, timeout=self._runner.cancel_grace_seconds)
        if not done:
            log.warning("step does not react to its cancellation", step_id=self._attempt.step_id, reason=reason)

    def _judge(self, ending: Ending | _CalledOff) -> event_pb2.Event:
        now_ms = self._runner.now_ms()
        if isinstance(ending, _CalledOff):
            return outcomes.cancelled(self._attempt, ending.reason, now_ms)
        if isinstance(ending, Raised):
            return outcomes.raised(
                self._attempt, ending.error, details=self.details, now_ms=now_ms, rng=self._runner.rng
            )
        try:
            output = encode_result(self._attempt.definition, ending.value)
        except Exception as error:
            return outcomes.unusable(self._attempt, error, now_ms)
        return outcomes.completed(self._attempt, output, now_ms)

    def _begin_body(self) -> asyncio.Task[Ending]:
        fresh = fresh_context(self._context, self._span.carrier)
        body = asyncio.create_task(self._body(), name=f"step:{self._attempt.step_id}", context=fresh)
        body.add_done_callback(self._body_ended)
        self._runner.keep(body)
        return body

    async def _body(self) -> Ending:
        definition = self._attempt.definition
        try:
            positional, keywords = decode_args(definition, self._attempt.input)
        except SerializationError as error:
            return Raised(error)
        if definition.is_async:
            self._began()
            return await self._settled(await run_coroutine(definition.function, positional, keywords))
        call = functools.partial(definition.function, *positional, **keywords)
        fresh = fresh_context(self._context, self._span.carrier)
        return await self._settled(await self._runner.threads.run(call, context=fresh, began=self._began))

    async def _settled(self, ending: Ending) -> Ending:
        """Wait until what the body wrote to streams is durable; a refused write fails a body that had returned."""
        if self._context.streams.are_unused:
            return ending
        try:
            async with asyncio.timeout(STREAM_GRACE_SECONDS if self._context.is_cancelled else None):
                await self._context.streams.finish()
        except BaseException as error:
            return ending if isinstance(ending, Raised) else Raised(error)
        return ending

    def _began(self) -> None:
        self._deadlines.begin()
        self._wake.set()

    def _report_attributes(self, event: event_pb2.Event) -> None:
        if self._is_recorded:
            event.occur_time.CopyFrom(stamp_of(self._runner.now_ms()))
            self._report(Outcome(event))


def _ending_of(ended: asyncio.Task[Ending | _CalledOff]) -> Ending | _CalledOff:
    return Raised(asyncio.CancelledError()) if ended.cancelled() else ended.result()


def _monotonic_ms() -> float:
    return time.monotonic() * MS


def _total_left_ms(attempt: Attempt, now_ms: Callable[[], int]) -> int | None:
    total_ms = attempt.definition.total_timeout_ms
    return None if total_ms is None else max(0, attempt.first_started_ms + total_ms - now_ms())


def _internal(bug: BaseException) -> payload_pb2.Failure:
    return payload_pb2.Failure(
        type="holdfast.InternalError",
        message=f"the ending of the step could not be described: {type(bug).__name__}; see the runtime's log",
        non_retryable=True,
        category=payload_pb2.FAILURE_CATEGORY_INTERNAL,
    )
