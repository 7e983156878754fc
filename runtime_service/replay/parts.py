"""The parts of one replay, put together: what an effect may touch."""

from __future__ import annotations

from dataclasses import dataclass

from holdfast.definitions import WorkflowDefinition
from runtime_service.replay.attributes import Attributes
from runtime_service.replay.clock import RunClock
from runtime_service.replay.commands import Commands
from runtime_service.replay.context import ReplayContext
from runtime_service.replay.hooks import Hooks
from runtime_service.replay.life import Life
from runtime_service.replay.loop import ReplayLoop
from runtime_service.replay.patches import Patches
from runtime_service.replay.steps import Steps
from runtime_service.replay.timers import Timers


@dataclass(slots=True)
class Parts:
    """Everything that belongs to one instance."""

    clock: RunClock
    commands: Commands
    timers: Timers
    loop: ReplayLoop
    steps: Steps
    hooks: Hooks
    attributes: Attributes
    patches: Patches
    context: ReplayContext
    life: Life


def assemble(workflow: WorkflowDefinition, run_id: str) -> Parts:
    """Make the parts of a fresh replay."""
    clock, commands = RunClock(), Commands()
    timers = Timers(commands)
    # mypy cannot see that the table of ``outside.py`` fills every abstract method.
    loop = ReplayLoop(run_id, clock, timers)  # type: ignore[abstract]
    steps, hooks, attributes = Steps(commands, loop), Hooks(commands, loop), Attributes(commands)
    patches = Patches(commands, loop)
    context = ReplayContext(run_id, clock, loop, steps, hooks, attributes, patches)
    life = Life(workflow, commands, loop, context)
    return Parts(clock, commands, timers, loop, steps, hooks, attributes, patches, context, life)
