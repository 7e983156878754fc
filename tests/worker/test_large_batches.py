"""More than one write holds: results, timers and decisions go out in several, in order, and none is lost."""

from __future__ import annotations

from holdfast import Client
from runtime_service.server import RunningRuntime
from runtime_service.worker.batch import BATCH_EVENTS_MAX
from tests.worker.interference import Request, before_writes
from tests.worker.test_runs import until_let_go


async def test_results_too_large_for_one_write_go_out_in_several(runtime: RunningRuntime, client: Client) -> None:
    """Six results of 1 MiB end at the same moment; the store takes 3 MiB in a batch."""
    sizes: list[int] = []

    async def note(request: Request) -> None:
        sizes.append(request.ByteSize())

    with before_writes(runtime, note):
        run = await client.start("worker-heavy", 6, 1024 * 1024)
        assert await run.result(timeout="30s") == 6 * 1024 * 1024
    assert max(sizes) < 3 * 1024 * 1024


async def test_more_timers_than_one_write_takes_all_fire(runtime: RunningRuntime, client: Client) -> None:
    events: list[int] = []

    async def note(request: Request) -> None:
        events.append(len(request.events))

    with before_writes(runtime, note):
        run = await client.start("worker-many_naps", 1_200)
        assert await run.result(timeout="30s") == 1_200
    assert max(events) <= BATCH_EVENTS_MAX
    await until_let_go(runtime)
