"""What a store is asked to write while its disk keeps a journal: runs from birth to end, queue, hooks, streams, groups.

Everything goes through the rules that serve clients, with a seed, so that a recording can be made again.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from functools import partial
from typing import Any

from holdfast.v1 import event_pb2
from store_service.engines.contract import Transaction
from store_service.rules import retention
from store_service.rules.append import Append, append
from tests.power.recording import Unit
from tests.rules import book

NOW = book.NOW


def appends(run_id: str, *events: event_pb2.Event, **fields: Any) -> Unit:
    """Return the unit of one CreateEvents."""
    return partial(_append, request=Append(run_id=run_id, events=events, **fields))


def _append(tx: Transaction, *, request: Append) -> Any:
    return append(tx, request, NOW)


def batches(runs: int, rng: random.Random) -> Iterator[list[Unit]]:
    """Yield groups of units, each for one commit: alone and together, small and of many pages."""
    lives = [_life(f"run_{number}", rng) for number in range(runs)]
    while lives:
        units: list[Unit] = []
        for life in rng.sample(lives, k=min(len(lives), rng.choice((1, 1, 2, 4)))):
            if (unit := next(life, None)) is None:
                lives.remove(life)
            else:
                units.append(unit)
        if units:
            yield units
    yield [lambda tx: retention.delete_runs(tx, ["run_0"])]


def _life(run_id: str, rng: random.Random) -> Iterator[Unit]:
    yield appends(run_id, book.run_created(wake_queue="runs", attributes={"of": run_id}), request_id=f"create:{run_id}")
    yield appends(run_id, book.run_started(), book.hook_created(token=f"token:{run_id}"))
    for number in range(rng.randint(1, 4)):
        step = f"step_{number}#1"
        size = rng.choice((10, 300, 9_000))
        yield appends(run_id, book.step_created(step), book.step_started(step), messages=[book.message(step)])
        yield appends(run_id, book.step_completed(step, output=f'"{"x" * size}"'), book.hook_received())
    yield appends(run_id, book.run_completed())
