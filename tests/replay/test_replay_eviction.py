"""Evicting a run frees it and runs none of its code: no finally, no except, no exit of a context."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import subprocess
import sys
import warnings
import weakref
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from typing import Any

import pytest

from holdfast import hook, set_attributes, step, workflow
from runtime_service.replay import eviction
from tests.replay.rehearsal import Rehearsal, event

ran: list[str] = []


@step(name="evict.work")
async def work(n: int) -> int:
    return n


class Guarded:
    def __enter__(self) -> None: ...

    def __exit__(self, *_: object) -> None:
        ran.append("__exit__")

    async def __aenter__(self) -> None: ...

    async def __aexit__(self, *_: object) -> None:
        ran.append("__aexit__")


@contextlib.contextmanager
def managed() -> Iterator[None]:
    try:
        yield
    finally:
        ran.append("contextmanager")


@contextlib.asynccontextmanager
async def managed_async() -> AsyncIterator[None]:
    try:
        yield
    finally:
        ran.append("asynccontextmanager")


async def in_finally() -> None:
    try:
        await work(1)
    finally:
        ran.append("finally")


async def in_except_cancelled() -> None:
    try:
        await work(1)
    except asyncio.CancelledError:
        ran.append("except CancelledError")


async def in_except_exit() -> None:
    try:
        await work(1)
    except GeneratorExit:
        ran.append("except GeneratorExit")
        raise


async def in_with() -> None:
    async with Guarded():
        with Guarded():
            await work(1)


async def in_contextmanager() -> None:
    with managed():
        await work(1)


async def in_asynccontextmanager() -> None:
    async with managed_async():
        await work(1)


async def in_exit_stack() -> None:
    async with contextlib.AsyncExitStack() as stack:
        stack.enter_context(managed())
        await stack.enter_async_context(managed_async())
        await work(1)


async def in_task_group() -> None:
    async with asyncio.TaskGroup() as group:
        group.create_task(in_finally())
        group.create_task(in_contextmanager())
        await in_finally()


async def in_gather_and_timeout() -> None:
    async with asyncio.timeout(60):
        await asyncio.gather(in_finally(), asyncio.shield(in_except_cancelled()))


async def in_async_generator() -> None:
    async def numbers() -> AsyncIterator[int]:
        try:
            while True:
                yield await work(1)
        finally:
            ran.append("async generator")

    async for _ in numbers():
        pass


async def beside_a_generator() -> None:
    def numbers() -> Iterator[int]:
        try:
            yield 1
            yield 2
        finally:
            ran.append("generator")

    for _ in map(str, numbers()):
        await work(1)


async def beside_coroutines_never_awaited() -> None:
    waiting = [in_finally(), in_finally()]
    await work(1)
    await asyncio.gather(*waiting)


async def in_hook() -> None:
    async with hook(int, token="evict") as inbox:
        async for _ in inbox:
            pass


async def in_wait_for_an_event() -> None:
    try:
        await asyncio.Event().wait()
    finally:
        ran.append("event")


BODIES: list[Callable[[], Coroutine[Any, Any, None]]] = [
    *(in_finally, in_except_cancelled, in_except_exit, in_with, in_contextmanager, in_asynccontextmanager),
    *(in_exit_stack, in_task_group, in_gather_and_timeout, in_async_generator, beside_a_generator),
    *(beside_coroutines_never_awaited, in_hook, in_wait_for_an_event),
]
#: Those of which something runs on a cancellation.
CANCELLABLE = [
    *(in_finally, in_except_cancelled, in_with, in_contextmanager, in_asynccontextmanager, in_exit_stack),
    *(in_task_group, in_gather_and_timeout, in_async_generator, in_wait_for_an_event),
]


def running(body: Callable[[], Coroutine[Any, Any, None]]) -> Rehearsal:
    @workflow(name=f"evict.{body.__name__}")
    async def suspended() -> None:
        await body()

    run = Rehearsal(suspended)
    run.settle()
    return run


@pytest.mark.parametrize("body", BODIES)
def test_eviction_runs_no_code_of_the_workflow(body: Any) -> None:
    ran.clear()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        run = running(body)
        run.instance.evict()
        decisions = run.instance.take_decisions()
        del run
        gc.collect()
    assert ran == []
    assert decisions == []


@pytest.mark.parametrize("body", CANCELLABLE)
def test_the_same_code_does_run_when_the_run_is_cancelled(body: Any) -> None:
    """The guard seen from the other side: these bodies have something to run."""
    ran.clear()
    run = running(body)
    run.say(event("run_cancel_requested", reason="test"))
    assert ran != []
    run.instance.evict()


def test_evicted_instances_are_freed() -> None:
    class Held:
        """Something big that a workflow holds."""

    references: list[weakref.ref[Held]] = []

    @workflow(name="evict.holding")
    async def holding() -> None:
        held = Held()
        references.append(weakref.ref(held))
        try:
            async with asyncio.timeout(60):
                await work(1)
        finally:
            ran.append(f"finally of {held}")

    ran.clear()
    for _ in range(2000):
        run = Rehearsal(holding)
        run.instance.evict()
    del run
    gc.collect()
    assert len(references) == 2000
    assert [reference for reference in references if reference() is not None] == []
    assert ran == []


def test_without_the_bit_the_collector_would_run_them() -> None:
    """The hazard is real: this is what the guard refuses."""
    ran.clear()

    async def begin_and_forget() -> None:
        in_wait_for_an_event().send(None)

    asyncio.run(begin_and_forget())
    assert ran == ["event"]


@pytest.mark.parametrize("body", BODIES)
def test_an_instance_that_was_forgotten_runs_no_code_either(body: Any, capfd: pytest.CaptureFixture[str]) -> None:
    ran.clear()
    run: Any = running(body)
    # In a cycle, so that the collector and not the count of references finds it, coroutines and all.
    run.itself = run
    del run
    gc.collect()
    assert ran == []
    assert capfd.readouterr() == ("", "")


def test_not_even_when_the_collector_meets_a_coroutine_before_its_instance() -> None:
    ran.clear()
    early = [in_finally()]

    @workflow(name="evict.early")
    async def suspended() -> None:
        await early.pop()

    run: Any = Rehearsal(suspended)
    run.itself = run
    del run
    gc.collect()
    assert ran == []


def test_on_an_interpreter_without_the_bit_the_coroutines_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    ran.clear()
    monkeypatch.setattr(eviction, "IS_SUPPORTED", False)
    run = running(in_finally)
    kept_before = len(eviction.kept)
    run.instance.evict()
    del run
    gc.collect()
    assert len(eviction.kept) > kept_before
    assert ran == []
    # Leave nothing behind that would run when this process ends.
    monkeypatch.undo()
    eviction.lay_to_rest(eviction.kept)
    eviction.kept.clear()


def test_a_process_that_ends_with_live_instances_runs_none_of_their_code() -> None:
    program = (
        "from tests.replay.test_replay_eviction import *\n"
        "runs = [running(body) for body in BODIES]\n"
        "import atexit; atexit.register(lambda: print(ran))\n"
    )
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert (ended.stdout.strip(), ended.stderr) == ("[]", "")


def test_this_interpreter_has_the_bit() -> None:
    """Where it has not, no coroutine that was evicted is ever freed."""
    assert eviction.IS_SUPPORTED
    assert eviction._works_here()


def test_an_interpreter_whose_bit_does_not_hold_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    marked = iter([False, True])
    monkeypatch.setattr(eviction, "_mark_finalized", lambda item: None)
    monkeypatch.setattr(eviction.gc, "is_finalized", lambda item: next(marked))
    assert not eviction._works_here()


def test_an_interpreter_that_does_not_show_the_bit_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(eviction.gc, "is_finalized", lambda item: False)
    assert not eviction._works_here()


def test_an_interpreter_that_shows_the_bit_from_the_beginning_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(eviction.gc, "is_finalized", lambda item: True)
    assert not eviction._works_here()


def test_what_code_asks_for_in_its_cleanup_after_the_end_is_never_written() -> None:
    @workflow(name="end.asks_in_cleanup")
    async def asks_in_cleanup() -> None:
        async def background() -> None:
            try:
                await asyncio.Event().wait()
            finally:
                await set_attributes(too="late")

        task = asyncio.create_task(background())
        await asyncio.sleep(0)
        del task

    run = Rehearsal(asks_in_cleanup)
    assert [it.WhichOneof("attributes") for it in run.settle()] == ["run_completed"]
    assert run.instance.pending() == []
