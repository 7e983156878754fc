"""The command line reads what a codec encoded when HOLDFAST_CODEC names it."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from pathlib import Path

from tests.support.runtime import RuntimeProcess

KEYS = Path(__file__).parent / "keys_for_tests.py"
APP = """
from holdfast import workflow

@workflow(name="echo")
async def echo(word: str) -> str:
    return f"echo of {word}"
"""


async def test_a_result_is_printed_to_who_has_the_codec(tmp_path: Path, store_address: str) -> None:
    (tmp_path / "app.py").write_text(APP)
    codec = f"{KEYS}:codec"
    async with RuntimeProcess(tmp_path, "app.py", store=store_address, HOLDFAST_CODEC=codec) as runtime:
        told = await asyncio.to_thread(start, runtime.address, HOLDFAST_CODEC=codec)
        hidden = await asyncio.to_thread(start, runtime.address)
    assert "echo of word" in told.stdout
    assert "echo of word" not in hidden.stdout + hidden.stderr
    assert "Traceback" not in hidden.stderr


def start(address: str, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [
        sys.executable,
        "-m",
        "holdfast.cli",
        "start",
        "echo",
        "--input",
        '"word"',
        "--wait",
        "--runtime",
        address,
    ]
    variables = {**os.environ, **environment}
    return subprocess.run(command, env=variables, capture_output=True, text=True, timeout=60, check=False)
