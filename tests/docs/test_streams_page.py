"""The examples on the page about streams do what the page says."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from holdfast import Client
from tests.support.runtime import RuntimeProcess

PAGE = Path(__file__).parents[2] / "docs" / "authoring" / "streams.md"


async def test_the_examples_of_the_page_show_tokens_as_they_are_written(
    tmp_path: Path, store_address: str, capsys: pytest.CaptureFixture[str]
) -> None:
    workflows, reading = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    (tmp_path / "answers.py").write_text(workflows)
    names: dict[str, Any] = {}
    exec(reading, names)
    runtime = RuntimeProcess(tmp_path, "answers.py", store=store_address)
    async with runtime as process, Client(process.address) as client:
        capsys.readouterr()
        assert await names["show"](client, "why?") == "You asked: why?"
    assert capsys.readouterr().out.split() == ["You", "asked:", "why?"]
