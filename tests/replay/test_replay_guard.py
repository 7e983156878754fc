"""What a workflow body must not touch refuses, names the line and says what to do; its own work goes through."""

from __future__ import annotations

import asyncio
import concurrent.futures
import datetime
import linecache
import logging
import os
import pathlib
import random
import secrets
import socket
import subprocess
import sys
import threading
import time
import traceback
import uuid
import zoneinfo
from collections.abc import Callable
from datetime import datetime as imported_datetime
from os import environ as imported_environ
from random import randint
from time import time as imported_time
from typing import Any
from uuid import uuid4 as imported_uuid4

import pydantic
import pytest

import holdfast
from holdfast import NotDeterministic, step, workflow
from runtime_service.replay import guard
from runtime_service.replay.loop import ReplayLoop
from runtime_service.replay.outside import OWNERS_ONLY, REACHING_OUT
from tests.replay import guard_helpers
from tests.replay.rehearsal import Rehearsal


@step(name="guard.work")
async def work(n: int) -> int:
    return n


def run_body(body: Callable[[], Any]) -> Rehearsal:
    @workflow(name="guard.body")
    async def guarded() -> None:
        found = body()
        if asyncio.iscoroutine(found):
            await found

    return Rehearsal(guarded)


async def subprocess_exec() -> None:
    await asyncio.create_subprocess_exec("true")


async def open_connection() -> None:
    await asyncio.open_connection("localhost", 1)


async def run_in_a_thread() -> None:
    await asyncio.to_thread(print)


def submit_to_a_pool() -> None:
    concurrent.futures.ThreadPoolExecutor(1).submit(print)


REFUSED: list[tuple[Callable[[], Any], str]] = [
    (lambda: time.time(), "holdfast.now()"),
    (lambda: time.time_ns(), "holdfast.now()"),
    (lambda: time.monotonic(), "holdfast.now()"),
    (lambda: time.perf_counter(), "holdfast.now()"),
    (lambda: imported_time(), "holdfast.now()"),
    (lambda: time.sleep(0), "holdfast.sleep()"),
    (lambda: datetime.datetime.now(), "holdfast.now()"),
    (lambda: imported_datetime.now(datetime.UTC), "holdfast.now()"),
    (lambda: imported_datetime.utcnow(), "holdfast.now()"),
    (lambda: imported_datetime.today(), "holdfast.now()"),
    (lambda: datetime.date.today(), "holdfast.now()"),
    (lambda: random.random(), "holdfast.random()"),
    (lambda: random.choice([1, 2]), "holdfast.random()"),
    (lambda: random.shuffle([1, 2]), "holdfast.random()"),
    (lambda: randint(1, 6), "holdfast.random()"),
    (guard_helpers.clock, "holdfast.now()"),
    (guard_helpers.dice, "holdfast.random()"),
    (guard_helpers.chance, "holdfast.random()"),
    (guard_helpers.number, "holdfast.uuid4()"),
    (guard_helpers.noise, "holdfast.uuid4()"),
    (lambda: uuid.uuid4(), "holdfast.uuid4()"),
    (lambda: imported_uuid4(), "holdfast.uuid4()"),
    (lambda: uuid.uuid1(), "holdfast.uuid4()"),
    (lambda: os.urandom(8), "holdfast.uuid4()"),
    (lambda: secrets.token_hex(), "holdfast.uuid4()"),
    (lambda: random.SystemRandom().random(), "holdfast.uuid4()"),
    (lambda: open(__file__), "move this into a step"),  # noqa: SIM115
    (lambda: pathlib.Path(__file__).read_text(), "move this into a step"),
    (lambda: os.open(__file__, os.O_RDONLY), "move this into a step"),
    (lambda: os.listdir("."), "move this into a step"),
    (lambda: socket.socket(), "move this into a step"),
    (lambda: socket.getaddrinfo("localhost", 1), "move this into a step"),
    (lambda: subprocess.run(["true"]), "move this into a step"),
    (lambda: os.system("true"), "move this into a step"),
    (lambda: threading.Thread(target=print).start(), "move this into a step"),
    (lambda: os.environ["PATH"], "pass it as an argument"),
    (lambda: os.environ.get("PATH"), "pass it as an argument"),
    (lambda: os.getenv("PATH"), "pass it as an argument"),
    (lambda: "PATH" in os.environ, "pass it as an argument"),
    (lambda: dict(os.environ), "pass it as an argument"),
    (lambda: imported_environ.get("PATH"), "pass it as an argument"),
    (lambda: os.environ.update(HOLDFAST_GUARD_TEST="1"), "pass it as an argument"),
    (lambda: os.putenv("HOLDFAST_GUARD_TEST", "1"), "move this into a step"),
    (lambda: time.localtime(), "holdfast.now()"),
    (lambda: time.strftime("%H"), "holdfast.now()"),
    (lambda: time.ctime(None), "holdfast.now()"),
    (lambda: random.Random(), "holdfast.random()"),
    (lambda: random.Random(5).seed(), "holdfast.random()"),
    (submit_to_a_pool, "move this into a step"),
    (run_in_a_thread, "move this into a step"),
    (subprocess_exec, "move this into a step"),
    (open_connection, "move this into a step"),
    (lambda: asyncio.get_running_loop().add_signal_handler(2, print), "move this into a step"),
    (lambda: asyncio.get_running_loop().call_soon_threadsafe(print), "move this into a step"),
    (lambda: asyncio.get_running_loop().stop(), "move this into a step"),
    (lambda: input(), "move this into a step"),
]


@pytest.mark.parametrize(("body", "advice"), REFUSED, ids=range(len(REFUSED)))
def test_reaching_outside_refuses_and_names_the_line_and_the_replacement(body: Callable[[], Any], advice: str) -> None:
    with pytest.raises(NotDeterministic) as caught:
        run_body(body)
    lines = {line for _, _, line in body.__code__.co_lines()}
    assert str(caught.value).split(": ")[0] in {f"{body.__code__.co_filename}:{line}" for line in lines}
    assert advice in str(caught.value)


@pytest.mark.parametrize(("body", "advice"), REFUSED[:26], ids=range(26))
def test_outside_of_a_workflow_the_same_things_work(body: Callable[[], Any], advice: str) -> None:
    Rehearsal(_nothing)
    found = body()
    if hasattr(found, "close"):
        found.close()
    elif isinstance(found, int) and found > 2 and "os.open" in _source(body):
        os.close(found)


@workflow(name="guard.nothing")
async def _nothing() -> None:
    await work(1)


def test_the_refusal_can_be_caught_and_the_workflow_goes_on() -> None:
    def careful() -> None:
        with pytest.raises(NotDeterministic):
            time.time()

    assert run_body(careful).instance.is_ended


def test_the_deterministic_replacements_work() -> None:
    found: list[Any] = []

    def body() -> None:
        found.append((holdfast.now(), holdfast.random().random(), holdfast.uuid4(), random.Random(5).random()))

    run_body(body)
    run_body(body)
    assert found[0] == found[1]
    assert found[0][0].tzinfo is not None
    assert found[0][2].version == 4


def test_what_is_a_function_of_its_arguments_works() -> None:
    found: list[Any] = []

    def body() -> None:
        berlin = zoneinfo.ZoneInfo.no_cache("Europe/Berlin")
        moment = datetime.datetime.strptime("2026-01-01", "%Y-%m-%d").replace(tzinfo=datetime.UTC)
        found.append((moment.astimezone(berlin), time.gmtime(0).tm_year, time.strftime("%Y", time.gmtime(0))))
        found.append((random.Random(5).random(), random.Random(x=5).random()))

    assert run_body(body).instance.is_ended
    assert found[0][0].utcoffset() == datetime.timedelta(hours=1)
    assert found[0][1:] == (1970, "1970")
    assert found[1][0] == found[1][1]


def test_the_runtime_s_own_look_at_the_environment_goes_through() -> None:
    def body() -> None:
        context = {"__name__": "holdfast.somewhere", "os": os}
        exec("value = os.environ.get('PATH')", context)

    assert run_body(body).instance.is_ended


def test_the_guard_lets_its_own_work_through(caplog: pytest.LogCaptureFixture, tmp_path: pathlib.Path) -> None:
    """Building a traceback, a log line or an import opens files and reads clocks (hazard 35)."""
    (tmp_path / "imported_in_a_workflow.py").write_text("import time\nAT = time.time()\nopen(__file__).close()\n")
    shown: list[str] = []

    def body() -> None:
        linecache.clearcache()
        try:
            raise ValueError("shown")
        except ValueError:
            shown.append(traceback.format_exc())
            logging.getLogger("guard").exception("logged")
        sys.path.insert(0, str(tmp_path))
        try:
            import imported_in_a_workflow  # type: ignore[import-not-found]
        finally:
            sys.path.remove(str(tmp_path))
        assert imported_in_a_workflow.AT

    assert run_body(body).instance.is_ended
    assert 'raise ValueError("shown")' in shown[0]
    assert "logged" in caplog.text


def test_the_first_adapter_of_a_process_may_be_built_in_a_workflow(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pydantic then looks for its plugins, in files: a value that a replay decodes must not fail for that."""

    def body() -> None:
        monkeypatch.setattr("pydantic.plugin._loader._plugins", None)
        assert pydantic.TypeAdapter(list[int]).validate_python(["1"]) == [1]

    assert run_body(body).instance.is_ended


def test_a_failure_is_told_with_its_source_lines() -> None:
    linecache.clearcache()

    def body() -> None:
        raise ValueError("with a traceback")

    run = run_body(body)
    run.settle()
    assert 'raise ValueError("with a traceback")' in run.log.events[-1].run_failed.failure.stack_trace


def test_other_threads_and_steps_are_not_guarded() -> None:
    reached: list[str] = []

    def elsewhere() -> None:
        time.time()
        open(__file__).close()
        reached.append("other thread")

    thread = threading.Thread(target=elsewhere)
    guard.end_turn(guard.begin_turn(is_replayed=False))
    thread.start()
    thread.join()
    assert reached == ["other thread"]
    assert isinstance(time.time(), float)


def test_a_thread_that_runs_while_a_turn_is_guarded_is_free() -> None:
    begin, reached = threading.Event(), threading.Event()

    def elsewhere() -> None:
        begin.wait(10)
        time.time()
        open(__file__).close()
        reached.set()

    thread = threading.Thread(target=elsewhere)
    thread.start()
    outer = guard.begin_turn(is_replayed=False)
    try:
        begin.set()
        assert reached.wait(10)
    finally:
        guard.end_turn(outer)
    thread.join()


def test_the_table_of_the_loop_is_complete() -> None:
    """A method that a new Python adds to event loops must be decided on: ours, refused, or the owner's."""
    offered = {name for name in vars(asyncio.AbstractEventLoop) if not name.startswith("__")}
    written = {name for name in vars(ReplayLoop) if not name.startswith("__")}
    assert offered - written == set()
    assert set(REACHING_OUT) | set(OWNERS_ONLY) <= offered | {"shutdown_default_executor"}


def _source(body: Callable[[], Any]) -> str:
    return "".join(linecache.getlines(__file__)[body.__code__.co_firstlineno - 1 : body.__code__.co_firstlineno + 2])


def test_a_turn_within_a_turn_leaves_the_outer_one_as_it_was() -> None:
    outside = guard.begin_turn(is_replayed=True)
    outer = guard.begin_turn(is_replayed=False)
    assert not guard.is_repeating()
    guard.end_turn(outer)
    assert guard.is_in_turn()
    assert guard.is_repeating()
    guard.end_turn(outside)
    assert not guard.is_in_turn()


def test_a_body_that_asks_the_clock_itself_is_refused_too() -> None:
    """No function of the user's stands between it and the loop."""

    @workflow(name="guard.body_itself")
    async def body_itself() -> None:
        datetime.datetime.now()

    with pytest.raises(NotDeterministic, match=r"holdfast\.now"):
        Rehearsal(body_itself)
