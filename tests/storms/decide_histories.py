"""Replays every prefix of recorded histories, prints a digest of each: `python -m tests.storms.decide_histories FILE…`.

Run in processes of their own by ``test_history_oracle.py``, because a hash seed is for the life of a process. A digest
is of everything that the runtime acts on: decisions byte by byte, open steps, open waits, the workflow's clock.
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from google.protobuf import json_format

from holdfast.definitions import registry
from holdfast.v1 import event_pb2
from runtime_service.replay.instance import Instance

Event = event_pb2.Event


def read(path: Path) -> list[Event]:
    """Read a recorded log."""
    return [json_format.Parse(line, Event()) for line in path.read_text().splitlines()]


def cold(log: Sequence[Event]) -> Iterator[tuple[str, str]]:
    """Replay each prefix from the start; yield a digest of the state and one of the decisions."""
    for length in range(1, len(log) + 1):
        instance = _instance(log)
        for event in log[:length]:
            instance.deliver(event)
        yield _state(instance), _decisions(instance)
        instance.evict()


def warm(log: Sequence[Event], batch: int) -> Iterator[tuple[int, str]]:
    """Feed one instance ``batch`` events at a time, taking decisions after each; yield length and state."""
    instance = _instance(log)
    for begin in range(0, len(log), batch):
        for event in log[begin : begin + batch]:
            instance.deliver(event)
        instance.take_decisions()
        yield min(begin + batch, len(log)), _state(instance)
    instance.evict()


def _instance(log: Sequence[Event]) -> Instance:
    return Instance(registry.workflow(log[0].run_created.workflow_name), log[0].run_id)


def _state(instance: Instance) -> str:
    steps = [(it.step_id, it.attempt, it.is_wanted, it.is_recorded) for it in instance.open_steps().values()]
    waits = list(instance.open_waits().items())
    return repr((steps, waits, instance.now_ms, instance.is_ended))


def _decisions(instance: Instance) -> str:
    told = [event.SerializeToString(deterministic=True) for event in instance.take_decisions()]
    return hashlib.sha256(b"|".join(told)).hexdigest()


def main() -> None:
    registry.load("tests.storms.workflows")
    for name in sys.argv[1:]:
        for length, (state, decisions) in enumerate(cold(read(Path(name))), start=1):
            print(Path(name).stem, length, decisions, hashlib.sha256(state.encode()).hexdigest())


if __name__ == "__main__":
    main()
