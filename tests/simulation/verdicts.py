"""What must hold in every schedule: after each answer of the store, and when nothing can happen any more.

Owns the judgement, told by positions of the log alone: it must not use the guard, the clock or the transitions that it
judges. Read ``explorer.py`` for when it is asked.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from itertools import pairwise

from holdfast.errors import HoldfastError
from holdfast.refusal import Refusal
from holdfast.v1 import event_pb2
from store_service.rules.append import Append, Appended
from tests.checkers.witness import entry
from tests.simulation.desk import Desk
from tests.simulation.player import Mind
from tests.simulation.shapes import Log, Shape

_ENDS = ("step_completed", "step_failed", "wait_completed", "hook_disposed")
_RUN_ENDS = ("run_completed", "run_failed", "run_cancelled")


class Wrong(Exception):
    """A move after which a promise is broken."""


class Broken(AssertionError):
    """A schedule in which a promise was broken, with the command that plays it again."""

    def __init__(self, shape: str, schedule: Sequence[str], what: str) -> None:
        self.schedule = tuple(schedule)
        super().__init__(
            f"{what}\nshape {shape}, schedule: {' '.join(schedule)}\n"
            f"again: python -m tests.simulation {shape} --schedule '{' '.join(schedule)}'"
        )


def of_an_answer(before: Log, after: Log, request: Append, answer: Appended | Refusal, is_held: bool) -> str:
    """Return what is wrong with an answer, "" for nothing.

    ``before`` and ``after`` are the log around the call; ``is_held``: the writer's lease counted when it came.
    """
    if [it.seq for it in after] != list(range(1, len(after) + 1)):
        return "the log is not dense"
    if isinstance(answer, Refusal):
        return _of_a_refusal(before, after, request, answer, is_held)
    if not is_held:
        return "a writer whose lease was lost wrote to the log"
    if answer.deduplicated:
        return ""
    if request.state_seq is not None and _can_change(before[request.state_seq :]):
        return f"a decision from a copy of {request.state_seq} events was committed at {len(before) + 1}"
    known = request.state_seq if request.state_seq is not None else request.delta_after_seq
    if known is not None and answer.interleaved is not None:
        told = [it.seq for it in answer.interleaved.events]
        if told != list(range(known + 1, len(before) + 1)):
            return f"the answer does not tell what lay between {known} and its own events: {told}"
    return ""


def _of_a_refusal(before: Log, after: Log, request: Append, refusal: Refusal, is_held: bool) -> str:
    if len(after) != len(before):
        return f"a refused write ({refusal.reason}) left a trace"
    if refusal.reason == "STALE_SNAPSHOT" and not _can_change(before[request.state_seq or 0 :]):
        return f"a fresh decision was refused: {refusal.message}"
    if refusal.reason == "LEASE_LOST" and is_held:
        return "the holder of the lease was refused as one that lost it"
    return ""


def _can_change(events: Sequence[event_pb2.Event]) -> bool:
    """Whether a replay that has not seen these events could decide otherwise."""
    entries = [entry(event, 0) for event in events]
    return any(it.moves_marker or it.is_decision for it in entries)


def of_the_end(desk: Desk, mind: Mind, shape: Shape, log: Log) -> list[str]:
    """Return what is wrong with a run in which nothing can happen any more."""
    return [*_unfinished(desk, log), *of_a_log(mind, shape, log)]


def of_a_log(mind: Mind, shape: Shape, log: Log) -> Iterator[str]:
    """Yield what is wrong with the log of a run that has ended."""
    yield from _told_twice(log)
    yield from _of_the_result(shape, log)
    yield from _of_replay(mind, log)


def _unfinished(desk: Desk, log: Log) -> Iterator[str]:
    if log[-1].WhichOneof("attributes") not in _RUN_ENDS:
        yield f"nothing can happen any more, and the run has not ended: it is stuck after event {len(log)}"
    if waiting := desk.messages():
        yield f"{len(waiting)} messages are left in the queue"
    yield from desk.findings()


def _told_twice(log: Log) -> Iterator[str]:
    ends = [it.correlation_id for it in log if it.WhichOneof("attributes") in _ENDS]
    yield from (f"{it} ended twice" for it in set(ends) if ends.count(it) > 1)
    starts = [(it.correlation_id, it.step_started.attempt) for it in log if it.HasField("step_started")]
    yield from (f"attempt {it} began twice" for it in set(starts) if starts.count(it) > 1)
    if sum(it.WhichOneof("attributes") in _RUN_ENDS for it in log) > 1:
        yield "the run ended twice"
    if any(after.create_time.ToMilliseconds() < it.create_time.ToMilliseconds() for it, after in pairwise(log)):
        yield "the wall time of the log goes back"


def _of_the_result(shape: Shape, log: Log) -> Iterator[str]:
    values = [json.loads(it.hook_received.payload.text) for it in log if it.HasField("hook_received")]
    if values != list(shape.values[: len(values)]):
        yield f"the log holds the values {values}"
    last, expected = log[-1], shape.ledger(log)
    found = json.loads(last.run_completed.output.text) if last.HasField("run_completed") else None
    if found != expected or (expected is None and not last.HasField("run_cancelled")):
        yield f"the run ended as {last.WhichOneof('attributes')} {found!r}, and the log asks for {expected!r}"


def _of_replay(mind: Mind, log: Log) -> Iterator[str]:
    """A replay of the whole log agrees with every event of it."""
    try:
        instance = mind.replayed(log)
    except HoldfastError as error:
        yield f"a replay of the log does not agree with it: {error}"
        return
    if not instance.is_ended or instance.take_decisions():
        yield "a replay of the log does not come to its end"
    instance.evict()
