"""What a replay costs an event: the log of a run of 1,020 steps, read from the store, into a fresh instance.

In this process, with nothing to wait for: CPU and wall time are the same here.
"""

from __future__ import annotations

import time

from benchmarks.figures import Figure, of_samples
from benchmarks.workflows import count_up
from benchmarks.workloads import Bench
from holdfast.definitions import WorkflowDefinition, definition_of
from runtime_service.replay.instance import Instance

_STEPS = 1_020


async def replay(bench: Bench) -> list[Figure]:
    run = await bench.client.start("count_up", _STEPS)
    await run.result(timeout="2m")
    events = [event async for event in run.events()]
    definition = definition_of(count_up)
    assert isinstance(definition, WorkflowDefinition)
    taken = []
    for _ in range(bench.rounds(15)):
        begin = time.perf_counter()
        instance = Instance(definition, run.id)
        instance.foresee(events)
        for event in events:
            instance.deliver(event, is_replayed=True)
        taken.append((time.perf_counter() - begin) * 1000)
        assert instance.is_ended
        instance.evict()
    return [of_samples("replay, an event", taken, floor_name="30 µs", floor=0.03, target=1.0, per=len(events))]
