"""A log as the witness of its own guard: was every acceptance fresh, and every refusal really stale?

Owns the judgement over what clients were told and what the log holds. It knows dense positions only, never a time of
the guard: a snapshot is a prefix of the log, so it was stale iff an event that can change a decision lies between that
prefix and the write. It must not use anything of ``store_service``: a witness that asks the accused proves nothing.
Counts of such events per prefix make each question O(1). Read ``tests/storms/test_guard_storm.py`` for the storm.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import accumulate, pairwise

from holdfast.v1 import event_pb2

#: What changes a decision whoever wrote it, and what only when no replay wrote it (design §9).
_MOVES_ALWAYS = frozenset(
    (
        event_pb2.EVENT_TYPE_HOOK_RECEIVED,
        event_pb2.EVENT_TYPE_STEP_COMPLETED,
        event_pb2.EVENT_TYPE_STEP_FAILED,
        event_pb2.EVENT_TYPE_WAIT_COMPLETED,
        event_pb2.EVENT_TYPE_RUN_CANCEL_REQUESTED,
    )
)
_MOVES_FROM_OUTSIDE = frozenset(
    (event_pb2.EVENT_TYPE_HOOK_DISPOSED, event_pb2.EVENT_TYPE_RUN_FAILED, event_pb2.EVENT_TYPE_RUN_CANCELLED)
)

#: What a process tells that did not decide it; everything else that a replay wrote is a decision.
_FACTS = frozenset(
    (
        event_pb2.EVENT_TYPE_RUN_CREATED,
        event_pb2.EVENT_TYPE_RUN_STARTED,
        event_pb2.EVENT_TYPE_HOOK_RECEIVED,
        event_pb2.EVENT_TYPE_STEP_STARTED,
        event_pb2.EVENT_TYPE_STEP_COMPLETED,
        event_pb2.EVENT_TYPE_STEP_FAILED,
        event_pb2.EVENT_TYPE_STEP_RETRYING,
        event_pb2.EVENT_TYPE_RUN_CANCEL_REQUESTED,
    )
)


class Outcome(StrEnum):
    """What the store answered."""

    ACCEPTED = "accepted"
    STALE = "refused as stale"
    AHEAD = "refused as ahead"


@dataclass(frozen=True, slots=True)
class Claim:
    """One operation as its client saw it.

    ``label`` is unique and stands in the event's ``writer``. ``position`` is the seq of the newest event the client
    had loaded, None without a guard; ``is_strict`` says that ``state_seq`` was sent. ``seq`` is the place in the log of
    what was accepted, or the head that the refusal told.
    """

    label: str
    outcome: Outcome
    seq: int
    position: int | None = None
    is_strict: bool = False


@dataclass(frozen=True, slots=True)
class Entry:
    """One event of the log: its place, the time of its id, who wrote it, and what it means to a replay."""

    seq: int
    at: int
    label: str
    moves_marker: bool = False
    is_decision: bool = False


def entry(event: event_pb2.Event, at: int) -> Entry:
    """Read an event as a witness does; ``at`` is the time part of its id in epoch milliseconds."""
    is_replay = event.origin == event_pb2.EVENT_ORIGIN_REPLAY
    moves = event.type in _MOVES_ALWAYS or (event.type in _MOVES_FROM_OUTSIDE and not is_replay)
    return Entry(event.seq, at, event.writer, moves, is_replay and event.type not in _FACTS)


class Witness:
    """The log of one run, ready for questions about what lies between two places."""

    def __init__(self, log: Sequence[Entry]) -> None:
        self.log = log
        self._moves = [0, *accumulate(int(it.moves_marker) for it in log)]
        self._decisions = [0, *accumulate(int(it.is_decision) for it in log)]

    def violations(self, claims: Iterable[Claim]) -> list[str]:
        """Return everything in which log and claims contradict each other or the guard; empty when all is well."""
        claims = list(claims)
        return [*self._of_order(), *self._of_presence(claims), *self._of_guard(claims)]

    def is_stale(self, claim: Claim, up_to: int) -> bool:
        """Whether events that the client had not loaded, up to a place, could change what it decided."""
        assert claim.position is not None
        moved = self._moves[up_to] > self._moves[claim.position]
        return moved or (claim.is_strict and self._decisions[up_to] > self._decisions[claim.position])

    def _of_order(self) -> Iterator[str]:
        for place, it in enumerate(self.log, start=1):
            if it.seq != place:
                yield f"not dense: {it.seq} stands at place {place}"
        for before, it in pairwise(self.log):
            if it.at <= before.at:
                yield f"time does not rise: {it.at} at {it.seq} after {before.at}"

    def _of_presence(self, claims: Sequence[Claim]) -> Iterator[str]:
        found = Counter(it.label for it in self.log)
        places = {it.label: it.seq for it in self.log}
        for claim in claims:
            expected = 1 if claim.outcome is Outcome.ACCEPTED else 0
            if found[claim.label] != expected:
                yield f"{claim.label} was {claim.outcome}, and is in the log {found[claim.label]} times"
            elif expected and places[claim.label] != claim.seq:
                yield f"{claim.label} was told {claim.seq}, and stands at {places[claim.label]}"

    def _of_guard(self, claims: Sequence[Claim]) -> Iterator[str]:
        for claim in claims:
            if claim.outcome is Outcome.AHEAD:
                yield f"{claim.label}: refused as ahead of a log that it was read from"
            elif claim.outcome is Outcome.STALE:
                if claim.position is None or not self.is_stale(claim, claim.seq):
                    yield f"{claim.label}: fresh refused (loaded {claim.position}, head {claim.seq})"
            elif claim.position is not None and self.is_stale(claim, claim.seq - 1):
                yield f"{claim.label}: stale accepted (loaded {claim.position}, committed as {claim.seq})"
