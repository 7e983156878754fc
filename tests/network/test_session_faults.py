"""Whatever happens to the messages of the session between runtime and store, runs end as they would without it."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import pytest

from holdfast import Client, step, workflow
from runtime_service import session
from tests.network.lab import RUN_SECONDS, RUNS, SEED, laboratory
from tests.network.test_network_faults import clear
from tests.support.rpc_proxy import RpcProxy, passing
from tests.support.runtime import running_runtime
from tests.support.session_faults import AnsweredTwice, AnswersCut, CallsCut, Flow, faulty_sessions, one_answer_lost
from tests.support.store import Store

KINDS: tuple[Callable[[random.Random], Flow], ...] = (CallsCut, AnswersCut, AnsweredTwice)

#: What the suite has time for: every session meets one of them; `make storm` takes each by itself.
CHOSEN = {"any": KINDS} if RUNS == 1 else {it.__name__: (it,) for it in KINDS}


@step(name="session_faults.next_number")
async def next_number(number: int) -> int:
    return number + 1


@workflow(name="session_faults.count")
async def count() -> int:
    number = 0
    for _ in range(5):
        number = await next_number(number)
    return number


@pytest.mark.timeout(3 * RUN_SECONDS)
@pytest.mark.slow
@pytest.mark.parametrize("kinds", CHOSEN.values(), ids=CHOSEN)
async def test_sessions_cut_in_a_message_or_answered_twice_change_nothing(
    kinds: tuple[Callable[[random.Random], Flow], ...], tmp_path: Path
) -> None:
    async with laboratory(tmp_path, flows=faulty_sessions(random.Random(SEED), *kinds)) as lab:
        await lab.run_through(clear)


async def test_an_answer_that_never_comes_ends_the_session_and_not_the_run(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing broke and nothing is told: the oldest call without an answer is what gives the session up."""
    monkeypatch.setattr(session, "ANSWER_SECONDS", 0.5)
    flows, lost = one_answer_lost(3)
    async with (
        RpcProxy(store.address, passing, flows) as proxy,
        running_runtime(proxy.address, count, next_number) as runtime,
        Client(runtime.address) as client,
    ):
        run = await client.start("session_faults.count")
        assert await run.result(timeout="15s") == 5
    assert lost.count <= 0
