"""What the package lets a workflow say, the store takes: names and texts of the greatest length that is allowed.

Otherwise a run would be blocked by words that nobody objected to where they were written.
"""

from __future__ import annotations

import asyncio
from typing import Any

from holdfast import Client, hook, patched, run_info, set_attributes, sleep, step, workflow
from tests.support.runtime import running_runtime
from tests.support.store import Store

#: A module in a very deep folder.
_DEEP_FILE = "/folder" * 200 + "/module.py"

_FAR_AWAY = """
async def call(step):
    return await step(1)
"""


@step(name="longest-" + "ñ" * 248)
async def long_named(value: int) -> int:
    return value


@workflow(name="longest-" + "w" * 248, version="v" * 128)
async def says_long_things() -> dict[str, Any]:
    away: dict[str, Any] = {}
    exec(compile(_FAR_AWAY, _DEEP_FILE, "exec"), away)
    await set_attributes(**{"k" * 256: "v" * 256, "é" * 256: "é" * 128})
    async with hook(int, token="😀" * 512) as answers:
        conflict = await answers.conflict()

    async def nest(depth: int) -> int:
        if depth:
            return await asyncio.create_task(nest(depth - 1))
        await sleep(0.001)
        return await long_named(2)

    return {
        "called from far away": await away["call"](long_named),
        "patched": patched("p" * 256),
        "conflict": conflict,
        "nested": await nest(300),
        "attributes": len(run_info().attributes),
    }


async def test_the_longest_names_that_are_allowed_block_no_run(store: Store) -> None:
    async with (
        running_runtime(store.address, says_long_things, long_named) as runtime,
        Client(runtime.address) as client,
    ):
        run = await client.start(says_long_things, id="r" * 128)
        assert await run.result(timeout="10s") == {
            "called from far away": 1,
            "patched": True,
            "conflict": None,
            "nested": 2,
            "attributes": 2,
        }
