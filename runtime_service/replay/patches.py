"""Changes of code that runs in flight may pass: what ``patched`` answers, and what makes it answer the same for ever.

A call answers True when the log has the record of it, or when the log ends here: nobody went past, so the new code may,
and the record is written with its first decision. It answers False when the log goes on with something that this
replay has not asked for yet and has no record of the call: then the code before the change went past here. Log and
records only grow, so the next replay comes to the same answer. Once a name was True, later calls of it are, without
records of their own: in a loop the turns of the old code stay old and all others are new, for one event.

Proof: tests/changing/test_patched.py. What the log goes on with is ``foresight.py``; why so, docs/decisions/.
"""

from __future__ import annotations

from holdfast.v1 import event_pb2
from runtime_service.replay.commands import Commands
from runtime_service.replay.loop import ReplayLoop


class Patches:
    """The changes that the code of one run asked for."""

    def __init__(self, commands: Commands, loop: ReplayLoop) -> None:
        self._commands = commands
        self._loop = loop
        self._applied: set[str] = set()
        self._foreseen: set[str] = set()
        self._recorded: set[str] = set()

    def ask(self, name: str) -> bool:
        """Say whether this call runs after the change."""
        call_id = self._loop.scope().patch_call_id(name)
        if name in self._applied:
            return True
        is_known = call_id in self._foreseen or call_id in self._recorded
        if not is_known and self._commands.is_behind:
            return False
        self._applied.add(name)
        if call_id not in self._recorded:
            told = event_pb2.PatchApplied(name=name, call_id=call_id)
            self._commands.emit(call_id, event_pb2.Event(patch_applied=told))
        return True

    # What the log says.

    def foresee(self, told: event_pb2.PatchApplied) -> None:
        """The log has a record further down."""
        self._foreseen.add(told.call_id)

    def record(self, told: event_pb2.PatchApplied) -> None:
        """The log has a record. One that the code does not ask for any more is no divergence: the call was removed."""
        self._recorded.add(told.call_id)
        self._commands.confirm(told.call_id)
