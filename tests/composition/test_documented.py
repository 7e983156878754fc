"""The example of docs/authoring/composition.md is run as it stands."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from holdfast import Client
from tests.support.runtime import running_runtime
from tests.support.store import Store

PAGE = Path(__file__).parents[2] / "docs" / "authoring" / "composition.md"


async def test_the_documented_tree_of_children_runs(store: Store) -> None:
    example = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)[0]
    names: dict[str, Any] = {"__name__": "composition_page"}
    exec(compile(example, str(PAGE), "exec"), names)
    async with running_runtime(store.address, names["fib"], linger_ms=0) as runtime, Client(runtime.address) as client:
        assert await (await client.start(names["fib"], 4)).result("60s") == 3
