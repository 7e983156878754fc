"""What the workflow asked for: emitted when the code calls, confirmed when the log delivers the record of it.

Owns the order of emission and nothing else. A command that was called off before anybody took it leaves no trace; one
that was taken, or is recorded, stays. Ids come from paths, so a command of this replay and the record of an earlier one
meet under the same key. Read ``divergence.py`` for what happens when they do not.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from holdfast.v1 import event_pb2

#: The key of the command that ends the run.
END = "the end"


def disposal_of(hook_id: str) -> str:
    """Return the key of the command that closes a hook."""
    return f"disposal of {hook_id}"


@dataclass(slots=True)
class Command:
    """One thing to be recorded. ``requires``: written only when that command is, or is recorded already.

    ``is_recorded`` and ``is_taken`` are the ledger's; ``is_wanted`` is cleared by whoever calls it off.
    """

    event: event_pb2.Event
    source: str = ""
    requires: Command | None = None
    is_wanted: bool = True
    is_taken: bool = False
    is_recorded: bool = False

    @property
    def is_due(self) -> bool:
        """Whether it is to be written now."""
        return self.is_wanted and not self.is_recorded and (self.requires is None or self.requires.exists)

    @property
    def exists(self) -> bool:
        return self.is_taken or self.is_recorded


class Commands:
    """The ledger of a replay: every command until its record comes by."""

    def __init__(self) -> None:
        self._fresh: list[Command] = []
        self._unrecorded: dict[str, Command] = {}
        self._ahead: set[str] = set()
        self._is_closed = False

    def emit(self, key: str, event: event_pb2.Event, source: str = "", requires: Command | None = None) -> Command:
        """Note a command under ``key``, which no other unrecorded command may have."""
        command = Command(event, source, requires, is_wanted=not self._is_closed)
        assert key not in self._unrecorded, f"two commands of one replay have the key {key}"
        self._unrecorded[key] = command
        self._ahead.discard(key)
        self._fresh.append(command)
        return command

    def confirm(self, key: str) -> Command | None:
        """Take the record of a command; None when this replay did not emit it."""
        self._ahead.discard(key)
        command = self._unrecorded.pop(key, None)
        if command is not None:
            command.is_recorded = True
        return command

    def foresee(self, key: str) -> None:
        """Note that the log goes on, further down, with the record of a command."""
        if key not in self._unrecorded:
            self._ahead.add(key)

    @property
    def is_behind(self) -> bool:
        """Whether the log goes on with what this replay has not asked for yet: other code, or this one, was here."""
        return bool(self._ahead)

    def take(self) -> list[event_pb2.Event]:
        """Return what is to be written and was not returned before, in order of emission."""
        taken: list[event_pb2.Event] = []
        waiting: list[Command] = []
        for command in self._fresh:
            if command.is_due:
                command.is_taken = True
                taken.append(command.event)
            elif command.requires is not None and not command.is_recorded:
                waiting.append(command)
        self._fresh = waiting
        return taken

    def close(self) -> None:
        """The run has come to its end: whatever is emitted from now on is dropped."""
        self._is_closed = True

    def drop(self) -> None:
        """The run was ended by somebody else: nothing of what is left is written."""
        self.close()
        for command in self._unrecorded.values():
            command.is_wanted = False

    def pending(self) -> list[Command]:
        """What is to be in the log and is not there yet, in order of emission; looked at, not taken."""
        return [it for it in self._unrecorded.values() if it.is_taken or it.is_due]

    def unrecorded(self) -> Iterator[Command]:
        """What the code asked for and the log has not shown yet, oldest first."""
        return (command for command in self._unrecorded.values() if command.is_wanted)
