"""A write whose answer was lost is found in the log by its repeat, whatever else the log says by then."""

from __future__ import annotations

from typing import Any

from holdfast import Client, hook, step, workflow
from holdfast.errors import NotReady
from tests.support.runtime import running_runtime
from tests.support.store import Store
from tests.worker.interference import kinds, send_value


@step(name="network.next_number")
async def next_number(number: int) -> int:
    return number + 1


@workflow(name="network.counts_then_waits")
async def counts_then_waits(token: str) -> list[Any]:
    async with hook(str, token=token) as values:
        assert await values.conflict() is None
        return [await next_number(1), await next_number(2), await values]


async def test_what_others_wrote_after_a_write_with_a_lost_answer_is_seen(store: Store) -> None:
    """(1) we write; (2) the answer is lost; (3) a value commits; (4) our repeat is refused, and the log has both."""
    async with (
        running_runtime(store.address, counts_then_waits, next_number) as runtime,
        Client(runtime.address) as client,
    ):
        worker, lost, parked = runtime.worker, [], []
        append, delay_of = worker.store.append, worker.blocked_delay_ms

        async def losing(request: Any) -> Any:
            answer = await append(request)
            if not lost and kinds(request)[:2] == ["step_completed", "step_created"]:
                lost.append(request)
                await send_value(store, "lost", '"value"')
                raise NotReady("the connection was cut")
            return answer

        def parking(run_id: str) -> int:
            parked.append(run_id)
            return delay_of(run_id)

        worker.store.append, worker.blocked_delay_ms = losing, parking  # type: ignore[method-assign]
        run = await client.start("network.counts_then_waits", "lost")
        assert await run.result(timeout="10s") == [2, 3, "value"]
    assert lost
    assert parked == [], "a replay that did not get every event"
