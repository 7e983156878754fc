"""Plain asyncio works in workflows, and a replay of any prefix decides what the live run decided there."""

from __future__ import annotations

from typing import Any

import pytest

from tests.replay.asyncio_workflows import CASES
from tests.replay.rehearsal import Rehearsal, check_replays, event


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize(("workflow", "result", "outside"), CASES, ids=[case[0].__name__ for case in CASES])
def test_live_and_replayed_agree_at_every_prefix(workflow: Any, result: Any, outside: Any, seed: int) -> None:
    rehearsal = Rehearsal(workflow, seed=seed)
    assert rehearsal.play(outside) == result
    check_replays(rehearsal)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(("workflow", "result", "outside"), CASES, ids=[case[0].__name__ for case in CASES])
def test_results_do_not_depend_on_how_many_facts_came_between_two_writes(
    workflow: Any, result: Any, outside: Any, seed: int
) -> None:
    rehearsal = Rehearsal(workflow, seed=seed)
    assert rehearsal.play(outside, hurry=0.3) == result
    check_replays(rehearsal)


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize(("workflow", "result", "outside"), CASES, ids=[case[0].__name__ for case in CASES])
def test_a_cancellation_at_any_moment_is_the_same_live_and_replayed(
    workflow: Any, result: Any, outside: Any, seed: int
) -> None:
    rehearsal = Rehearsal(workflow, seed=seed)

    def cancel(run: Rehearsal) -> None:
        run.say(event("run_cancel_requested", reason="now"))

    script = list(outside)
    script.insert(rehearsal.random.randrange(len(script) + 1), cancel)
    assert rehearsal.play(script, hurry=0.5) in ("run_cancelled", result)
    check_replays(rehearsal)
