"""When the code and the log disagree: what the log expects, what the code did, where both stand, at which seq.

Builds errors and compares records with calls; changes nothing. A divergence never fails the run: the runtime sets it
aside as blocked until the code is fixed (hazard 32).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from itertools import islice
from typing import Final

from holdfast.errors import ReplayDivergence
from holdfast.v1 import event_pb2, payload_pb2
from runtime_service.replay.commands import Command, Commands
from runtime_service.replay.limits import REPORTED_CALLS_MAX

Describe = Callable[[event_pb2.Event], str]

#: Event kind → what it stands for in a sentence.
_WORDS: Final[Mapping[str, Describe]] = {
    "step_created": lambda event: f"a call of step {event.step_created.step_name} ({event.correlation_id})",
    "hook_created": lambda event: f"a hook ({event.correlation_id})",
    "hook_conflict": lambda event: f"a hook ({event.correlation_id})",
    "hook_disposed": lambda event: f"the disposal of hook {event.correlation_id}",
    "wait_created": lambda event: f"a sleep or timeout ({event.correlation_id})",
    "attributes_set": lambda event: f"a change of attributes ({_shown_changes(event.attributes_set)})",
    "patch_applied": lambda event: f"a call of patched({event.patch_applied.name!r})",
    "run_completed": lambda event: "the workflow to return",
    "run_failed": lambda event: f"the workflow to raise {event.run_failed.failure.type}",
    "run_cancelled": lambda event: "the workflow to end as cancelled",
}


class OutOfOrder(Exception):
    """An event was delivered that does not follow the last one: the caller's copy of the log has a gap (hazard 4)."""

    def __init__(self, run_id: str, position: int, seq: int) -> None:
        super().__init__(f"run {run_id}: event {seq} came after event {position}; a log grows by the next seq only")
        self.position = position
        self.seq = seq


def describe(event: event_pb2.Event) -> str:
    """Say what an event stands for."""
    arm = event.WhichOneof("attributes") or "an unknown event"
    words = _WORDS.get(arm)
    return words(event) if words else f"{arm} {event.correlation_id}".rstrip()


def not_called(event: event_pb2.Event, commands: Commands) -> ReplayDivergence:
    """The log has a creation that the code did not ask for."""
    calls = list(islice(commands.unrecorded(), REPORTED_CALLS_MAX))
    found = ", ".join(describe(command.event) for command in calls) or "nothing of the kind by then"
    return ReplayDivergence(
        describe(event),
        found,
        seq=event.seq,
        expected_source=event.step_created.source,
        found_source=calls[0].source if calls else "",
    )


def unknown_entity(event: event_pb2.Event) -> ReplayDivergence:
    """The log tells of an entity that the code never made, or that had ended."""
    return ReplayDivergence(describe(event), f"nothing that has the id {event.correlation_id}", seq=event.seq)


def unknown_kind(event: event_pb2.Event) -> ReplayDivergence:
    """The log has an event that this runtime is too old to understand, and that must not be skipped."""
    found = "not know it: this runtime is older than the log"
    return ReplayDivergence(f"an event of type {event.type}", found, seq=event.seq)


def check_step(event: event_pb2.Event, command: Command) -> None:
    """Compare a recorded step with the call that has its id: name and arguments. Raises ReplayDivergence."""
    if event is command.event:
        # Live: what the store took is what was asked for.
        return
    recorded, called = event.step_created, command.event.step_created
    if recorded.step_name != called.step_name:
        raise _differs(event, command, describe(event), describe(command.event))
    if not is_same_payload(recorded.input, called.input):
        raise _differs(
            event,
            command,
            f"{describe(event)} with the arguments {_shown(recorded.input)}",
            f"that call with the arguments {_shown(called.input)}",
        )


def check_hook(event: event_pb2.Event, command: Command, asked_token: str) -> None:
    """Compare a recorded hook with the one the code opened, when the code named a token. Raises ReplayDivergence."""
    recorded = event.hook_conflict.token if event.HasField("hook_conflict") else event.hook_created.token
    if asked_token and recorded != asked_token:
        found = f"open it with the token {asked_token!r}"
        raise _differs(event, command, f"{describe(event)} with the token {recorded!r}", found)


def check_attributes(event: event_pb2.Event, command: Command) -> None:
    """Compare a recorded change of attributes with the one that the code asked for. Raises ReplayDivergence."""
    recorded, asked = event.attributes_set, command.event.attributes_set
    if recorded.set != asked.set or set(recorded.removed) != set(asked.removed):
        raise _differs(event, command, describe(event), describe(command.event))


def check_end(event: event_pb2.Event, ending: event_pb2.Event | None) -> None:
    """Compare the recorded end of a run with what the code came to. Raises ReplayDivergence."""
    if ending is None:
        raise ReplayDivergence(describe(event), "not end", seq=event.seq)
    same_kind = event.WhichOneof("attributes") == ending.WhichOneof("attributes")
    if not same_kind or not is_same_payload(event.run_completed.output, ending.run_completed.output):
        found = describe(ending) if not same_kind else f"return {_shown(ending.run_completed.output)}"
        expected = describe(event) if not same_kind else f"it to return {_shown(event.run_completed.output)}"
        raise ReplayDivergence(expected, found, seq=event.seq)


def is_same_payload(recorded: payload_pb2.Payload, found: payload_pb2.Payload) -> bool:
    """Whether two payloads hold one value. JSON is compared as JSON: its spelling may change with a library.

    A payload under a codec is not looked into: encryption gives other bytes each time.
    """
    if recorded.content_encoding or found.content_encoding:
        return True
    if recorded.text == found.text and recorded.data == found.data:
        return True
    return bool(recorded.text and found.text) and _is_same_json(recorded.text, found.text)


def _is_same_json(one: str, other: str) -> bool:
    try:
        return bool(json.loads(one) == json.loads(other))
    except ValueError:
        return False


def _differs(event: event_pb2.Event, command: Command, expected: str, found: str) -> ReplayDivergence:
    return ReplayDivergence(
        expected, found, seq=event.seq, expected_source=event.step_created.source, found_source=command.source
    )


def _shown_changes(changes: event_pb2.AttributesSet) -> str:
    words = [
        *(f"{key}={value!r}" for key, value in sorted(changes.set.items())),
        *(f"no {it}" for it in changes.removed),
    ]
    return ", ".join(words)


def _shown(payload: payload_pb2.Payload) -> str:
    text = payload.text or f"{len(payload.data)} bytes"
    return text if len(text) <= 200 else f"{text[:200]}…"
