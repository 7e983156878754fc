"""The example on the page about workers runs: a remote step by hand, a queued one in a runtime that names its queue."""

from __future__ import annotations

import re
from pathlib import Path

import grpc.aio

from holdfast import Client
from tests.step_workers.worker import Worker
from tests.support.runtime import RuntimeProcess
from tests.support.store import Store

PAGE = Path(__file__).parents[2] / "docs" / "authoring" / "workers.md"


async def test_the_example_of_the_page_runs_in_two_places(store: Store, tmp_path: Path) -> None:
    (tmp_path / "movies.py").write_text(re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)[0])
    runtime = RuntimeProcess(
        tmp_path, "movies.py", store=store.address, options=["--queue", "default", "--queue", "gpu"]
    )
    async with runtime, Client(runtime.address) as client, grpc.aio.insecure_channel(runtime.address) as channel:
        run = await client.start("movie", "dune")
        worker = Worker(channel, queue="render")
        await worker.complete(await worker.take("render"), {"path": "/films/dune"})
        assert await run.result(timeout=20) == "/films/dune.4k"
