"""Plain asyncio works in workflows, and a replay of any prefix decides what the live run decided there."""

from __future__ import annotations

from typing import Any

import pytest

from tests.replay.asyncio_workflows import CASES
from tests.replay.rehearsal import Rehearsal, check_replays


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize(("workflow", "result", "outside"), CASES, ids=[case[0].__name__ for case in CASES])
def test_live_and_replayed_agree_at_every_prefix(workflow: Any, result: Any, outside: Any, seed: int) -> None:
    rehearsal = Rehearsal(workflow, seed=seed)
    assert rehearsal.play(outside) == result
    check_replays(rehearsal)
