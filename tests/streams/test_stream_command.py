"""`holdfast stream` against a runtime in this process."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys

from holdfast import Client
from tests.streams.writers import counting, raw_bytes, stumbling


async def say(*words: str) -> subprocess.CompletedProcess[bytes]:
    command = [sys.executable, "-m", "holdfast.cli", *words]
    return await asyncio.to_thread(subprocess.run, command, capture_output=True, timeout=60, check=False)


async def stream(address: str, *words: str) -> list[str]:
    done = await say("stream", *words, "--runtime", address)
    assert done.returncode == 0, done.stderr
    return done.stdout.decode().splitlines()


async def test_items_are_printed_one_a_line_until_the_run_ends(client: Client, runtime_address: str) -> None:
    run = await client.start(counting, 3)
    expected = [f'{{"done":{number},"note":""}}' for number in range(3)]
    assert await stream(runtime_address, run.id, "progress") == expected
    assert await stream(runtime_address, run.id, "progress", "--start-index", "-1") == expected[-1:]


async def test_json_tells_the_authors_and_the_resets(client: Client, runtime_address: str) -> None:
    run = await client.start(stumbling)
    lines = [json.loads(line) for line in await stream(runtime_address, run.id, "--json")]
    step_id = lines[0]["step_id"]
    assert lines[0] == {"index": 0, "step_id": step_id, "attempt": 1, "data": "1a"}
    assert lines[2] == {"reset": {"step_id": step_id, "attempt": 2}}
    assert [line["data"] for line in lines if "data" in line] == ["1a", "1b", "2a", "2b", "3a", "3b"]
    assert await stream(runtime_address, run.id, "--mode", "final") == ['"3a"', '"3b"']


async def test_bytes_go_out_as_they_are(client: Client, runtime_address: str) -> None:
    run = await client.start(raw_bytes, 4, 1_000)
    done = await say("stream", run.id, "raw", "--runtime", runtime_address)
    assert done.stdout == b"".join(bytes([number]) * 1_000 for number in range(4))


async def test_wrong_use_is_told_in_one_line_with_exit_2(client: Client, runtime_address: str) -> None:
    for words in (("nobody",), ("run_1", "no/name"), ("run_1", "--mode", "latest")):
        done = await say("stream", *words, "--runtime", runtime_address)
        assert done.returncode == 2, words
        assert b"Traceback" not in done.stderr
    done = await say("stream", "run_1", "--runtime", "127.0.0.1:9")
    assert done.returncode == 3
