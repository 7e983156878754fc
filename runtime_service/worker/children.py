"""The ends of the child runs that a held run waits for.

A wait for a child is a passive step: open in the log, and nothing runs for it. Here the child is followed while its
parent is held, read once, and read again when something may have happened to it; its end becomes the step's result.
A parent that was let go is woken by the store in the transaction that ends the child, so nothing is polled and no end
is missed: (1) we read the child, it runs; (2) it ends, and the wake of the parent is queued with it; (3) we let go;
(4) the wake is delivered and the child is read again. Proof: tests/composition/test_children.py.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Iterable, Mapping
from contextlib import AbstractContextManager
from typing import Final

from holdfast.children import AWAIT_RUN
from holdfast.errors import RunCancelled, RunNotFound
from holdfast.failures import to_failure, type_name
from holdfast.serialization import decode_args
from holdfast.v1 import entity_pb2, event_pb2, payload_pb2
from runtime_service.replay.open_entities import OpenStep
from runtime_service.worker.cancelling import read_run
from runtime_service.worker.history import TERMINAL_TYPES
from runtime_service.worker.surroundings import Surroundings

_ENDED: Final = (entity_pb2.RUN_STATUS_COMPLETED, entity_pb2.RUN_STATUS_FAILED, entity_pb2.RUN_STATUS_CANCELLED)


class Children:
    """The children of one held run, by id. ``changed`` is called when one of them should be looked at again."""

    def __init__(self, around: Surroundings, changed: Callable[[], None]) -> None:
        self._around = around
        self._changed = changed
        self._children: dict[str, _Child] = {}
        self._following: dict[str, AbstractContextManager[None]] = {}

    async def answers(self, steps: Iterable[OpenStep]) -> Mapping[str, event_pb2.Event]:
        """Return step id → result for those waits among the open steps whose child has ended. Raises for the store."""
        waits = [it for it in steps if it.definition is AWAIT_RUN and it.is_recorded and it.is_wanted]
        if not waits and not self._children:
            return {}
        awaited = {step.step_id: _child_id(step) for step in waits}
        self._follow(set(awaited.values()))
        await asyncio.gather(*(self._read(child) for child in self._children.values() if not child.is_read))
        results = {step.step_id: self._children[awaited[step.step_id]].result for step in waits}
        opened = self._around.store.sealing.open
        return {
            step.step_id: _result_of(step, opened(ended))
            for step in waits
            if (ended := results[step.step_id]) is not None
        }

    def close(self) -> None:
        """Follow nobody any more."""
        self._follow(frozenset())

    def _follow(self, run_ids: Collection[str]) -> None:
        """Follow these and no others; each before it is read, so that what happens in between is told."""
        for run_id in [it for it in self._children if it not in run_ids]:
            del self._children[run_id]
            self._following.pop(run_id).__exit__(None, None, None)
        for run_id in sorted(it for it in run_ids if it not in self._children):
            child = self._children[run_id] = _Child(run_id, self._changed)
            self._following[run_id] = self._around.feed.follow(run_id, child)
            self._following[run_id].__enter__()

    async def _read(self, child: _Child) -> None:
        child.is_read = True
        try:
            run = await read_run(self._around.store, child.run_id)
        except RunNotFound as gone:
            child.result = to_failure(gone, category=payload_pb2.FAILURE_CATEGORY_INTERNAL)
        except BaseException:
            child.is_read = False
            raise
        else:
            child.ended(run)


class _Child:
    """Follows one child. ``result`` is how it ended: the run, or why it cannot be known; None while it goes on."""

    def __init__(self, run_id: str, changed: Callable[[], None]) -> None:
        self.run_id = run_id
        self.result: entity_pb2.Run | payload_pb2.Failure | None = None
        self.is_read = False
        self._changed = changed

    def push(self, event: event_pb2.Event) -> None:
        if event.type in TERMINAL_TYPES and self.result is None:
            self.missed()

    def ended(self, run: entity_pb2.Run) -> None:
        if run.status in _ENDED:
            self.result = run
            self.is_read = True
            self._changed()

    def missed(self) -> None:
        self.is_read = self.result is not None
        self._changed()


def _child_id(step: OpenStep) -> str:
    (run_id,), _ = decode_args(AWAIT_RUN, step.input)
    return str(run_id)


def _result_of(step: OpenStep, ended: entity_pb2.Run | payload_pb2.Failure) -> event_pb2.Event:
    """Build the result of a wait: the child's output as stored, or its failure as recorded."""
    event = event_pb2.Event(correlation_id=step.step_id)
    if isinstance(ended, entity_pb2.Run) and ended.status == entity_pb2.RUN_STATUS_COMPLETED:
        event.step_completed.attempt = step.attempt + 1
        event.step_completed.output.CopyFrom(ended.output)
        return event
    event.step_failed.attempt = step.attempt + 1
    event.step_failed.failure.CopyFrom(_failure_of(ended) if isinstance(ended, entity_pb2.Run) else ended)
    return event


def _failure_of(run: entity_pb2.Run) -> payload_pb2.Failure:
    if run.status == entity_pb2.RUN_STATUS_FAILED:
        return run.failure
    return payload_pb2.Failure(
        type=type_name(RunCancelled(run.run_id)),
        message=run.cancel_reason,
        category=payload_pb2.FAILURE_CATEGORY_CANCELLED,
    )
