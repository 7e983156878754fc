"""Without services the commands say so in one line, and the cheap ones stay cheap."""

from __future__ import annotations

import os
import socket
import subprocess
import sys

import pytest


def say(*words: str, **env: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "holdfast.cli", *words]
    return subprocess.run(command, env=os.environ | env, capture_output=True, text=True, timeout=60, check=False)


@pytest.fixture
def nobody() -> str:
    """An address where nothing listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{probe.getsockname()[1]}"


@pytest.mark.parametrize("words", [("runs",), ("show", "r"), ("events", "r"), ("start", "w"), ("cancel", "r")])
def test_an_unreachable_runtime_is_named_with_exit_3(nobody: str, words: tuple[str, ...]) -> None:
    done = say(*words, "--runtime", nobody)
    assert done.returncode == 3
    assert nobody in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def test_an_option_can_be_given_by_its_environment_variable(nobody: str) -> None:
    assert nobody in say("runs", HOLDFAST_RUNTIME_ADDRESS=nobody).stderr
    assert "none of" in say("runs", HOLDFAST_RUNS_STATUS="finished", HOLDFAST_RUNTIME_ADDRESS=nobody).stderr


def test_help_lists_every_command() -> None:
    listed = say("--help", COLUMNS="120").stdout
    commands = "dev store runtime start runs show events stream why resume cancel wake check replay lint doctor audit"
    for command in commands.split():
        assert f" {command} " in listed


def test_dev_refuses_a_file_that_is_not_there() -> None:
    done = say("dev", "no_such_file.py")
    assert done.returncode == 2
    assert "no_such_file.py" in done.stderr
    assert "Traceback" not in done.stderr


def test_the_command_line_loads_neither_grpc_nor_a_service_before_a_command_needs_them() -> None:
    probe = "import sys, holdfast.cli.app; print(*{name.split('.')[0] for name in sys.modules})"
    done = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, timeout=60, check=True)
    assert not {"grpc", "store_service", "runtime_service", "watchfiles"} & set(done.stdout.split())
