"""What a person types works: every command against real services, its output and its exit code.

One `holdfast dev` serves all tests of the file; each test has runs of its own.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import uuid
from collections.abc import Iterator
from itertools import islice

import pytest
from google.protobuf import json_format

from holdfast.v1 import event_pb2

WORKFLOWS = """
from holdfast import FatalError, hook, run_info, sleep, step, workflow

@step(name="double")
async def double(x: int) -> int:
    if x < 0:
        raise FatalError("negative numbers are not doubled")
    return 2 * x

@workflow(name="doubling")
async def doubling(x: int) -> int:
    return await double(x)

@workflow(name="adding")
async def adding(a: int, b: int = 1) -> int:
    return a + b

@workflow(name="asking")
async def asking() -> str:
    async with hook(str, token=f"ask:{run_info().run_id}") as answers:
        return await answers

@workflow(name="sleeping")
async def sleeping() -> str:
    await sleep("1 day")
    return "rested"
"""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """The environment of a shell beside a running `holdfast dev`."""
    folder = tmp_path_factory.mktemp("dev")
    (folder / "flows.py").write_text(WORKFLOWS)
    store, runtime = f"127.0.0.1:{free_port()}", f"127.0.0.1:{free_port()}"
    env = {**os.environ, "HOLDFAST_STORE_ADDRESS": store, "HOLDFAST_RUNTIME_ADDRESS": runtime, "COLUMNS": "160"}
    words = ["dev", "flows.py", "--no-reload", "--store-listen", store, "--runtime-listen", runtime]
    command = [sys.executable, "-m", "holdfast.cli", *words]
    with subprocess.Popen(command, cwd=folder, env=env, stdout=subprocess.PIPE, text=True) as dev:
        assert dev.stdout is not None
        try:
            assert [line.split()[2] for line in islice(dev.stdout, 2)] == ["store", "runtime"]
            yield env
        finally:
            dev.send_signal(signal.SIGINT)
            assert dev.wait(30) == 0


def say(env: dict[str, str], *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "holdfast.cli", *words]
    return subprocess.run(command, env=env, capture_output=True, text=True, timeout=60, check=False)


def said(env: dict[str, str], *words: str) -> str:
    """The stdout of a command that must succeed."""
    done = say(env, *words)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def waiting(env: dict[str, str], run_id: str, for_what: str) -> str:
    """Ask why until the run waits for ``for_what``."""
    while for_what not in (answer := said(env, "why", run_id)):
        continue
    return answer


def new_id() -> str:
    return f"run-{uuid.uuid4().hex[:8]}"


def test_start_and_wait_prints_the_result_and_nothing_else_on_stdout(served: dict[str, str]) -> None:
    done = say(served, "start", "doubling", "--input", "21", "--wait")
    assert (done.returncode, done.stdout) == (0, "42\n")


def test_start_without_wait_prints_the_run_id(served: dict[str, str]) -> None:
    run_id = new_id()
    assert said(served, "start", "doubling", "--input", "1", "--id", run_id) == run_id


@pytest.mark.parametrize("arguments", ["[20, 22]", '{"a": 20, "b": 22}'])
def test_input_is_positional_or_keyword_when_there_are_several(served: dict[str, str], arguments: str) -> None:
    assert said(served, "start", "adding", "--input", arguments, "--wait") == "42"


def test_a_failed_run_exits_1_and_says_why(served: dict[str, str]) -> None:
    done = say(served, "start", "doubling", "--input", "-1", "--wait")
    assert done.returncode == 1
    assert "negative numbers are not doubled" in done.stderr
    assert done.stdout == ""


def test_the_log_is_one_event_a_line_for_programs_too(served: dict[str, str]) -> None:
    run_id = new_id()
    said(served, "start", "doubling", "--input", "4", "--id", run_id, "--wait")
    lines = said(served, "events", run_id, "--json").splitlines()
    events = [json_format.Parse(line, event_pb2.Event()) for line in lines]
    assert [event.seq for event in events] == list(range(1, len(events) + 1))
    assert events[-1].run_completed.output.text == "8"
    plain = said(served, "events", run_id, "--follow").splitlines()
    assert len(plain) == len(events)
    assert "run_completed" in plain[-1]


def test_a_hook_is_resumed_by_its_token(served: dict[str, str]) -> None:
    run_id = said(served, "start", "asking")
    assert "waits for a value" in waiting(served, run_id, f"holdfast resume ask:{run_id}")
    said(served, "resume", f"ask:{run_id}", "--data", '"forty-two"')
    assert said(served, "start", "asking", "--id", run_id, "--use-existing", "--wait") == '"forty-two"'


def test_a_resume_repeated_with_its_request_id_is_delivered_once(served: dict[str, str]) -> None:
    run_id = said(served, "start", "asking")
    waiting(served, run_id, "waits for a value")
    words = ("resume", f"ask:{run_id}", "--data", '"once"', "--request-id", new_id())
    said(served, *words)
    assert "delivered before" in said(served, *words)


def test_a_sleeping_run_is_shown_and_can_be_woken(served: dict[str, str]) -> None:
    run_id = said(served, "start", "sleeping")
    assert "in 23 h 59 min" in waiting(served, run_id, "sleeps until")
    assert "wait_" in said(served, "show", run_id)
    assert "1 waits fired" in said(served, "wake", run_id, "--skip-waits")
    assert said(served, "start", "sleeping", "--id", run_id, "--use-existing", "--wait") == '"rested"'


def test_a_cancelled_run_exits_1_for_who_waits_for_it(served: dict[str, str]) -> None:
    run_id = said(served, "start", "sleeping")
    waiting(served, run_id, "sleeps until")
    said(served, "cancel", run_id, "--reason", "enough")
    done = say(served, "start", "sleeping", "--id", run_id, "--use-existing", "--wait")
    assert done.returncode == 1
    assert "cancelled: enough" in done.stderr
    assert "had ended before" in said(served, "cancel", run_id)


def test_runs_are_found_by_workflow_state_and_attribute(served: dict[str, str]) -> None:
    label = f"batch={new_id()}"
    run_id = new_id()
    said(served, "start", "doubling", "--input", "1", "--id", run_id, "--attribute", label, "--wait")
    said(served, "start", "sleeping", "--attribute", label)
    words = ("runs", "--workflow", "doubling", "--status", "completed", "--attribute", label)
    assert [json.loads(line)["runId"] for line in said(served, *words, "--json").splitlines()] == [run_id]
    assert run_id in said(served, *words)
    assert len(said(served, "runs", "--attribute", label, "--json").splitlines()) == 2


def test_show_is_json_when_asked(served: dict[str, str]) -> None:
    run_id = new_id()
    said(served, "start", "doubling", "--input", "1", "--id", run_id, "--wait")
    assert json.loads(said(served, "show", run_id, "--json"))["run"]["runId"] == run_id


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("start", "no-such-workflow"), "no-such-workflow"),
        (("start", "doubling", "--input", "{nope"), "--input is not JSON"),
        (("start", "doubling", "--input", "NaN"), "NaN"),
        (("start", "doubling", "--input", '"seven"'), "doubling"),
        (("start", "doubling", "--input", "1", "--id", "bad id"), "run_id"),
        (("start", "doubling", "--attribute", "novalue"), "KEY=VALUE"),
        (("show", "run_unknown"), "run_unknown"),
        (("events", "run_unknown"), "run_unknown"),
        (("why", "run_unknown"), "run_unknown"),
        (("wake", "run_unknown"), "run_unknown"),
        (("cancel", "run_unknown"), "run_unknown"),
        (("resume", "nobody-listens", "--data", "1"), "nobody-listens"),
        (("resume", "nobody-listens", "--data", "{"), "--data is not JSON"),
    ],
)
def test_wrong_use_is_one_line_and_exit_2(served: dict[str, str], words: tuple[str, ...], expected: str) -> None:
    done = say(served, *words)
    assert done.returncode == 2, done
    assert expected in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert "Traceback" not in done.stderr


def test_an_unknown_status_lists_the_known_ones(served: dict[str, str]) -> None:
    done = say(served, "runs", "--status", "finished")
    assert done.returncode == 2
    assert "completed" in done.stderr


def test_health_is_serving_for_both_services_and_3_for_nobody(served: dict[str, str]) -> None:
    assert said(served, "health", served["HOLDFAST_RUNTIME_ADDRESS"]) == "SERVING"
    assert say(served, "health", f"127.0.0.1:{free_port()}").returncode == 3


def test_the_doctor_finds_nothing_wrong_with_what_dev_started(served: dict[str, str]) -> None:
    checked = said(served, "doctor", "--store", served["HOLDFAST_STORE_ADDRESS"])
    assert "✗" not in checked
    assert "both use sqlite" in checked
