"""What is left in memory of a run that has ended: nothing, without waiting for the cycle collector."""

from __future__ import annotations

import asyncio
import gc

from holdfast import Client, step, workflow
from runtime_service.worker.history import History
from tests.support.runtime import running_runtime
from tests.support.store import Store


@step(name="letting-go-part")
async def part(number: int) -> str:
    return "x" * number


@workflow(name="letting-go-parts")
async def parts() -> int:
    return sum([len(await part(number)) for number in range(5)])


def histories(run_id: str) -> int:
    return sum(1 for it in gc.get_objects() if isinstance(it, History) and it.run_id == run_id)


async def test_the_log_of_a_run_that_ended_is_freed_at_once(store: Store) -> None:
    async with running_runtime(store.address, part, parts) as runtime, Client(runtime.address) as client:
        gc.collect()
        gc.disable()
        try:
            run = await client.start(parts)
            assert await run.result() == 10
            async with asyncio.timeout(10):
                # Its hold settles its message after the answer.
                while histories(run.id):  # noqa: ASYNC110
                    await asyncio.sleep(0.02)
        finally:
            gc.enable()
