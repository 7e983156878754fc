"""The promises of golden histories: a recorded log is replayed against today's code, and nothing else happens."""

from __future__ import annotations

from pathlib import Path

import pytest

from holdfast import NotRegistered, ReplayDivergence, step, workflow
from holdfast.testing import Environment, read_history, replay_history, write_history
from tests.testing import workflows_under_test as under_test
from tests.testing.workflows_under_test import Order, only_once

ORDER = Order(id="7", cents=4200)
BODIES: list[str] = []


@step
async def noted(name: str) -> str:
    BODIES.append(name)
    return name


@workflow(name="golden.greeting")
async def greeting() -> str:
    return await noted("hello") + await only_once("x")


@workflow(name="golden.changed")
async def changed() -> str:
    return await only_once("x") + await noted("hello")


async def test_a_history_replays_from_its_file_and_runs_nothing(tmp_path: Path) -> None:
    BODIES.clear()
    async with Environment() as env:
        await env.run(greeting, id="run_g")
        recorded = env.history("run_g")
    write_history(tmp_path / "greeting.jsonl", recorded)
    assert read_history(tmp_path / "greeting.jsonl") == recorded
    replay_history(tmp_path / "greeting.jsonl")
    Environment().replay(recorded, greeting)
    assert BODIES == ["hello"]


async def test_every_prefix_of_a_history_replays(tmp_path: Path) -> None:
    async with Environment() as env:
        await env.run(under_test.everything, ORDER, id="run_e")
        recorded = env.history("run_e")
    for length in range(1, len(recorded) + 1):
        replay_history(recorded[:length])


async def test_changed_code_is_told_with_both_calls() -> None:
    async with Environment() as env:
        await env.run(greeting, id="run_g")
        with pytest.raises(ReplayDivergence, match=r"(?s)noted.*only_once|only_once.*noted"):
            env.replay(env.history("run_g"), changed)


async def test_a_history_is_never_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "kept.jsonl"
    write_history(path, [])
    with pytest.raises(FileExistsError):
        write_history(path, [])


async def test_what_is_no_history_is_told(tmp_path: Path) -> None:
    (tmp_path / "bad.jsonl").write_text("{}\n{nonsense\n")
    with pytest.raises(ValueError, match=r"bad\.jsonl:2"):
        read_history(tmp_path / "bad.jsonl")
    with pytest.raises(ValueError, match="run_created"):
        replay_history([])
    async with Environment() as env:
        await env.run(greeting, id="run_g")
        with pytest.raises(NotRegistered):
            replay_history(env.history("run_g"), "golden.nowhere")
        with pytest.raises(TypeError, match="@workflow"):
            replay_history(env.history("run_g"), noted)  # type: ignore[arg-type]
