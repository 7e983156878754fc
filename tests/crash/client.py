"""What runs through a store while it, or its runtime, is killed; and the judgement of what is in the log after.

Two kinds of run: ``everything``, which a runtime executes and which uses every primitive, and a life that a client
writes event by event, for crashes of the store alone: far cheaper, so that each single write can be a place to die
at. Both know their one right log or result.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from holdfast.v1 import event_pb2, payload_pb2
from tests.storms.store_calls import Event, StoreCalls, output
from tests.storms.workflows import EVERYTHING

#: A run that has not ended after this long is stuck: a lease of a second, restarts, and some seconds on a busy machine.
STUCK_SECONDS = 20.0


async def run_everything(calls: StoreCalls, run_id: str) -> list[Event]:
    """Start a run, see it to its end and its queue empty; returns its log. Raises TimeoutError when it is stuck."""
    await calls.create_run(run_id, "storm.everything")
    log = await calls.ended(run_id, STUCK_SECONDS)
    await calls.emptied(run_id, STUCK_SECONDS)
    return log


def wrong_with_everything(log: list[Event]) -> Iterator[str]:
    """Yield what is wrong with the log of a run of ``everything``."""
    if not log[-1].HasField("run_completed"):
        yield f"it ended with {log[-1]}"
    elif (found := output(log)) != EVERYTHING:
        yield f"it returned {found}"
    results = Counter(event.correlation_id for event in log if event.HasField("step_completed"))
    yield from (f"{step_id} has {count} results" for step_id, count in results.items() if count != 1)


async def write_life(calls: StoreCalls, run_id: str) -> list[Event]:
    """Write a life event by event, each until it is answered, and return what the store has of it."""
    for number, event in enumerate(_life()):
        await calls.append(run_id, event, request_id=f"{run_id}:{number}")
    return await calls.log(run_id)


def wrong_with_life(log: list[Event]) -> Iterator[str]:
    """Yield what is wrong with a log of `write_life`: something acknowledged is missing, or there twice."""
    wrote = [event.WhichOneof("attributes") for event in _life()]
    found = [event.WhichOneof("attributes") for event in log]
    if found != wrote:
        yield f"the log holds {found}, acknowledged were {wrote}"


def _life() -> list[Event]:
    # The last result takes several pages, and so several writes in one commit.
    results = ("1", '"' + "x" * 20_000 + '"')
    steps = [event for number, result in enumerate(results) for event in _step(f"step_{number}#1", result)]
    return [
        Event(run_created=event_pb2.RunCreated(workflow_name="crash.life", attributes={"of": "a client"})),
        Event(run_started=event_pb2.RunStarted()),
        *steps,
        Event(run_completed=event_pb2.RunCompleted()),
    ]


def _step(step_id: str, result: str) -> list[Event]:
    output = payload_pb2.Payload(text=result)
    return [
        Event(correlation_id=step_id, step_created=event_pb2.StepCreated(step_name="s")),
        Event(correlation_id=step_id, step_started=event_pb2.StepStarted(attempt=1)),
        Event(correlation_id=step_id, step_completed=event_pb2.StepCompleted(attempt=1, output=output)),
    ]
