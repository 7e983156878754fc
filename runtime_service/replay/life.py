"""The life of a run in replay: its root task from the start to the event that ends the run.

A value ends it as completed, an exception as failed, CancelledError after a request as cancelled. As with
``asyncio.run``, tasks that are left over are cancelled then and their ``finally`` blocks run, but nothing they ask for
is written any more. NotDeterministic is no end: it surfaces, and the run is set aside until the code is fixed.
"""

from __future__ import annotations

import asyncio
from contextvars import Context
from typing import Any, Final

from holdfast.context import WORKFLOW
from holdfast.definitions import WorkflowDefinition
from holdfast.errors import LimitExceeded, NotDeterministic, SerializationError
from holdfast.failures import to_failure
from holdfast.serialization import decode_args, encode_result
from holdfast.tracing import make_current
from holdfast.v1 import event_pb2, payload_pb2
from runtime_service.replay.commands import END, Commands
from runtime_service.replay.context import ReplayContext
from runtime_service.replay.divergence import check_end
from runtime_service.replay.limits import REASON_CHARS_MAX
from runtime_service.replay.loop import ReplayLoop
from runtime_service.replay.order import ReplayTask

#: Writers from outside a replay.
_OUTSIDE: Final = (event_pb2.EVENT_ORIGIN_EXTERNAL, event_pb2.EVENT_ORIGIN_STORE)


class Life:
    """The root task of one run. ``ending`` is the terminal event that the code came to, None while it goes on."""

    def __init__(
        self, workflow: WorkflowDefinition, commands: Commands, loop: ReplayLoop, context: ReplayContext
    ) -> None:
        self.ending: event_pb2.Event | None = None
        self._workflow = workflow
        self._commands = commands
        self._loop = loop
        self._context = context
        self._main: ReplayTask | None = None
        self._cancel_reason: str | None = None
        #: What the run was created with, said by its first event.
        self._input: payload_pb2.Payload

    def take_input(self, input: payload_pb2.Payload) -> None:
        """Keep what the run was created with."""
        self._input = input

    def start(self) -> None:
        """Create the root task; input that does not fit the workflow ends the run as failed."""
        try:
            args, kwargs = decode_args(self._workflow, self._input)
            coro = self._workflow.function(*args, **kwargs)
        except (SerializationError, LimitExceeded, TypeError) as error:
            self._end(_failed(error))
            return
        # An empty context: nothing of the service that replays may be seen by the workflow, but the span of its run.
        variables = Context()
        variables.run(WORKFLOW.set, self._context)
        variables.run(make_current, self._context.trace_carrier)
        self._main = self._loop.start(coro, variables)
        if self._cancel_reason is not None:
            self._main.cancel(self._cancel_reason)

    def cancel(self, reason: str) -> None:
        """Deliver a request to cancel: the workflow sees CancelledError at its current await.

        A second request interrupts the cleanup after the first, as a second ``task.cancel()`` would.
        """
        self._cancel_reason = reason
        if self._main is not None:
            self._main.cancel(reason)

    def settle(self) -> bool:
        """Find out whether the root task has ended; True once, when it just has. Raises NotDeterministic."""
        if self._main is None or not self._main.done():
            return False
        main, self._main = self._main, None
        self._end(self._end_of(main))
        return True

    def record(self, event: event_pb2.Event) -> None:
        """The log has the end of the run: that of the code, or one from outside, which counts whatever the code did.

        Raises ReplayDivergence when a replay wrote it and the code came to another end or to none.
        """
        if event.origin in _OUTSIDE:
            self._commands.drop()
        else:
            check_end(event, self.ending)
            self._commands.confirm(END)
        self.ending = event

    def clean_up(self, *, is_replayed: bool) -> None:
        """Cancel what is left over and let it run, then close async generators: nothing of it can change the end."""
        for task in list(self._loop.tasks):
            task.cancel()
        self._loop.run_until_quiet(is_replayed=is_replayed)
        for generator in list(self._loop.generators):
            self._loop.create_task(_closing(generator))
        self._loop.run_until_quiet(is_replayed=is_replayed)

    def _end(self, ending: event_pb2.Event) -> None:
        """Note the end: the last thing the run asks for."""
        self.ending = ending
        self._commands.emit(END, ending)
        self._commands.close()

    def _end_of(self, main: ReplayTask) -> event_pb2.Event:
        if main.cancelled():
            return self._cancelled()
        error = main.exception()
        if error is None:
            return self._completed(main.result())
        if (bug := _find_not_deterministic(error)) is not None:
            raise bug
        return _failed(error)

    def _cancelled(self) -> event_pb2.Event:
        if self._cancel_reason is None:
            return _failed(asyncio.CancelledError("the workflow cancelled itself"))
        return event_pb2.Event(run_cancelled=event_pb2.RunCancelled(reason=self._cancel_reason[:REASON_CHARS_MAX]))

    def _completed(self, value: Any) -> event_pb2.Event:
        try:
            output = encode_result(self._workflow, value)
        except (SerializationError, LimitExceeded) as error:
            return _failed(error)
        return event_pb2.Event(run_completed=event_pb2.RunCompleted(output=output))


async def _closing(generator: Any) -> None:
    await generator.aclose()


def _failed(error: BaseException) -> event_pb2.Event:
    return event_pb2.Event(run_failed=event_pb2.RunFailed(failure=to_failure(error)))


def _find_not_deterministic(error: BaseException) -> NotDeterministic | None:
    if isinstance(error, NotDeterministic):
        return error
    if isinstance(error, BaseExceptionGroup):
        return next(filter(None, map(_find_not_deterministic, error.exceptions)), None)
    return None
