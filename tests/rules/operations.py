"""Random operations on a few runs, for searches: small enough that runs meet in every state and clocks go both ways."""

from __future__ import annotations

from dataclasses import dataclass

from hypothesis import strategies as st

from holdfast.v1 import event_pb2
from tests.rules import book as write

RUNS = ("run_1", "run_2")
STEPS = ("step_a#1", "step_b#1")
HOOKS = ("hook_#1", "hook_#2")
TOKENS = ("tok", "other")


@dataclass(frozen=True, slots=True)
class Operation:
    """One append. ``back``: how many events the replay's copy lacks (negative: it is ahead), None for no snapshot."""

    run: int
    events: tuple[event_pb2.Event, ...]
    back: int | None
    by_seq: bool
    clock_ms: int
    retry_in_ms: int


def _operation(run: int, *events: event_pb2.Event) -> Operation:
    return Operation(run, events, back=None, by_seq=False, clock_ms=0, retry_in_ms=0)


#: Where every example begins: one run in the middle of its life, one that has not started.
OPENING = (
    _operation(0, write.run_created(), write.run_started(), write.step_created(), write.step_started()),
    _operation(0, write.hook_created(), write.wait_created()),
    _operation(1, write.run_created()),
)

#: What few random examples come to: a run created again, and one that has ended.
RARE = (
    _operation(1, write.run_created()),
    _operation(0, write.run_cancelled()),
    _operation(0, write.cancel_requested()),
)


def _events() -> st.SearchStrategy[event_pb2.Event]:
    steps, hooks = st.sampled_from(STEPS), st.sampled_from(HOOKS)
    attempts = st.sampled_from((0, 0, 0, 1, 2))
    facts = st.one_of(
        st.builds(write.step_started, steps),
        st.builds(write.step_completed, steps, attempts),
        st.builds(write.step_failed, steps, attempts),
        st.builds(write.step_retrying, steps),
        st.builds(write.hook_received, hooks),
        st.builds(write.cancel_requested),
    )
    decisions = st.one_of(
        st.builds(write.step_created, steps),
        st.builds(write.hook_created, hooks, st.sampled_from(TOKENS)),
        st.builds(write.hook_disposed, hooks),
        st.builds(write.wait_created),
        st.builds(write.wait_completed),
        st.builds(write.attributes_set, color=st.sampled_from(("red", "blue"))),
    )
    rare = st.sampled_from(
        [write.run_completed(), write.run_failed(), write.run_cancelled(), write.run_created(), write.run_started()]
    )
    return st.one_of(facts, facts, facts, decisions, decisions, decisions, rare)


OPERATIONS = st.lists(
    st.builds(
        Operation,
        run=st.sampled_from((0, 0, 1)),
        events=st.lists(_events(), min_size=1, max_size=3).map(tuple),
        back=st.sampled_from((None, None, None, 0, 0, 1, 2, 3, -1)),
        by_seq=st.booleans(),
        clock_ms=st.sampled_from((0, 0, 1, 100, -50)),
        retry_in_ms=st.sampled_from((0, 60)),
    ),
    min_size=6,
    max_size=24,
)
