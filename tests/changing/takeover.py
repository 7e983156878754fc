"""A rehearsal whose code changes on the way: other code takes over the log, as after a deployment."""

from __future__ import annotations

from typing import Any

from tests.replay.rehearsal import Rehearsal, _run_step, replayed


def taken_over(before: Rehearsal, workflow: Any, *, seed: int = 0) -> Rehearsal:
    """Go on with the log under other code, cold. Attempts that run by the log report to the new code."""
    after = Rehearsal(workflow, run_id=before.log.run_id, seed=seed, start=False)
    after.instance.evict()
    after.log = before.log
    after.instance = replayed(after.workflow, after.log.events, after.log.run_id)
    after._finished.extend(_run_step(step) for step in after.instance.open_steps().values() if step.is_running)
    before.instance.evict()
    return after


def patches(rehearsal: Rehearsal) -> list[str]:
    """Return the calls of ``patched`` that the log has records of."""
    return [it.patch_applied.call_id for it in rehearsal.log.events if it.HasField("patch_applied")]
