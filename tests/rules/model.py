"""A small store in memory, written without looking at the rules: what must be answered, and what must be there after.

Owns the oracle of `test_model.py`. It knows positions (lists), never times except retry times; it reads like the
contract's sentences in order, and is slow and plain on purpose. It must never import a rule.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass, field

from holdfast.v1 import event_pb2

Event = event_pb2.Event

ALWAYS_MOVES = {"hook_received", "step_completed", "step_failed", "wait_completed", "run_cancel_requested"}
MOVES_FROM_OUTSIDE = {"hook_disposed", "run_failed", "run_cancelled"}
FACTS = {"run_created", "run_started", "run_cancel_requested", "step_started", "step_completed", "step_failed"} | {
    "step_retrying",
    "hook_received",
}
ENDS = {"run_completed": "COMPLETED", "run_failed": "FAILED", "run_cancelled": "CANCELLED"}


class Refused(Exception):
    """What the contract answers instead."""


@dataclass
class Thing:
    """A step, hook or wait."""

    status: str
    attempt: int = 0
    retry_ms: int = 0
    token: str = ""


@dataclass
class Run:
    """One run: the arms of its log with whether each moves the marker and whether a replay decided it."""

    status: str = ""
    log: list[tuple[str, bool, bool]] = field(default_factory=list)
    things: dict[str, Thing] = field(default_factory=dict)

    def last(self, column: int) -> int:
        return max((seq for seq, entry in enumerate(self.log, 1) if entry[column]), default=0)


@dataclass
class Model:
    """Every run, and who holds which token."""

    runs: dict[str, Run] = field(default_factory=dict)
    tokens: dict[str, tuple[str, str]] = field(default_factory=dict)

    def append(self, run_id: str, events: Sequence[Event], seen: int | None, by_seq: bool, now_ms: int) -> None:
        """Append a batch. ``seen``: the prefix that a replay had loaded, told by its seq or by its time."""
        run = copy.deepcopy(self.runs.get(run_id)) or Run()
        tokens = dict(self.tokens)
        first = str(events[0].WhichOneof("attributes"))
        if first == "run_created" and run.status:
            raise Refused("RUN_EXISTS")
        if first != "run_created" and not run.status:
            raise Refused("RUN_NOT_FOUND")
        if run.status in ENDS.values():
            raise Refused("RUN_TERMINAL")
        if seen is not None:
            self._guard(run, seen, by_seq)
        for event in events:
            self._one(run_id, run, tokens, event, seen is not None, now_ms)
        self.runs[run_id], self.tokens = run, tokens

    def _guard(self, run: Run, seen: int, by_seq: bool) -> None:
        if seen > len(run.log):
            raise Refused("SNAPSHOT_AHEAD")
        if seen < run.last(1) or (by_seq and seen < run.last(2)):
            raise Refused("STALE_SNAPSHOT")

    def _one(
        self, run_id: str, run: Run, tokens: dict[str, tuple[str, str]], event: Event, is_replay: bool, now_ms: int
    ) -> None:
        arm = str(event.WhichOneof("attributes"))
        if arm == "run_created" and run.status:
            raise Refused("RUN_EXISTS")
        if run.status in ENDS.values():
            raise Refused("RUN_TERMINAL")
        if run.status == "PENDING" and arm not in FACTS and (arm != "run_cancelled" or is_replay):
            raise Refused("ILLEGAL_TRANSITION")
        if event.correlation_id:
            arm = self._entity(run_id, run, tokens, event, arm, is_replay, now_ms)
        else:
            self._run(run, tokens, arm, run_id)
        moves = arm in ALWAYS_MOVES or (arm in MOVES_FROM_OUTSIDE and not is_replay)
        run.log.append((arm, moves, is_replay and arm not in FACTS))

    def _run(self, run: Run, tokens: dict[str, tuple[str, str]], arm: str, run_id: str) -> None:
        if arm == "run_created":
            run.status = "PENDING"
        elif arm == "run_started":
            if run.status != "PENDING":
                raise Refused("ENTITY_EXISTS")
            run.status = "RUNNING"
        elif arm in ENDS:
            run.status = ENDS[arm]
            for thing in run.things.values():
                if thing.status in ("PENDING", "RUNNING", "OPEN"):
                    thing.status = "DISPOSED" if thing.status == "OPEN" else "CANCELLED"
            for token, (holder, _) in list(tokens.items()):
                if holder == run_id:
                    del tokens[token]

    def _entity(
        self,
        run_id: str,
        run: Run,
        tokens: dict[str, tuple[str, str]],
        event: Event,
        arm: str,
        is_replay: bool,
        now_ms: int,
    ) -> str:
        thing = run.things.get(event.correlation_id)
        if arm.endswith("_created"):
            if thing is not None:
                raise Refused("ENTITY_EXISTS")
            return self._create(run_id, run, tokens, event, arm, is_replay)
        if thing is None:
            raise Refused("ENTITY_NOT_FOUND")
        if arm == "step_started":
            if thing.status not in ("PENDING", "RUNNING"):
                raise Refused("ILLEGAL_TRANSITION")
            if thing.status == "PENDING" and thing.retry_ms > now_ms:
                raise Refused("RETRY_TOO_EARLY")
            thing.status, thing.attempt = "RUNNING", thing.attempt + 1
        elif arm.startswith("step_"):
            named = getattr(event, arm).attempt
            if thing.status != "RUNNING" or named not in (0, thing.attempt):
                raise Refused("ILLEGAL_TRANSITION")
            thing.status = {"step_completed": "COMPLETED", "step_failed": "FAILED", "step_retrying": "PENDING"}[arm]
            if arm == "step_retrying":
                thing.retry_ms = event.step_retrying.retry_time.ToMilliseconds()
        elif arm.startswith("hook_"):
            if thing.status != "OPEN":
                raise Refused("ILLEGAL_TRANSITION")
            if arm == "hook_disposed":
                thing.status = "DISPOSED"
                del tokens[thing.token]
        elif arm == "wait_completed":
            if thing.status != "PENDING":
                raise Refused("ILLEGAL_TRANSITION")
            thing.status = "COMPLETED"
        return arm

    def _create(
        self, run_id: str, run: Run, tokens: dict[str, tuple[str, str]], event: Event, arm: str, is_replay: bool
    ) -> str:
        if arm != "hook_created":
            run.things[event.correlation_id] = Thing("PENDING")
            return arm
        token = event.hook_created.token
        if token not in tokens:
            tokens[token] = (run_id, event.correlation_id)
            run.things[event.correlation_id] = Thing("OPEN", token=token)
            return arm
        if not is_replay:
            raise Refused("HOOK_TOKEN_CONFLICT")
        run.things[event.correlation_id] = Thing("CONFLICTED")
        return "hook_conflict"
