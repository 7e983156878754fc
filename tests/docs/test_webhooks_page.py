"""The example on the page about webhooks does what the page says."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path

from holdfast import Client
from tests.http.sender import send
from tests.support.runtime import RuntimeProcess

PAGE = Path(__file__).parents[2] / "docs" / "authoring" / "webhooks.md"


async def test_the_example_of_the_page_answers_the_sender(tmp_path: Path, store_address: str) -> None:
    code = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)[0]
    (tmp_path / "shop.py").write_text(code)
    options = ["--http", "127.0.0.1:0"]
    runtime = RuntimeProcess(tmp_path, "shop.py", store=store_address, options=options)
    async with runtime as process, Client(process.address) as client:
        run = await client.start("sell", "order 1")
        told = await asyncio.to_thread(process.read_line)
        answer = await send(told.split()[-1], b'{"cents": 42}')
        assert (answer.status, answer.json()) == (201, {"thanks for": 42})
        assert await run.result("20s") == "42 cents"
