"""Safeguards of replay: the log's order, the code's sameness, and nothing that leaves the body.

Owns their switches and the tests that must fail without them. A switch puts something harmless in the place of the
safeguard, in a process that dies with it. Read ``safeguards.py`` for the whole table.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from tests.refusing.safeguard import Safeguard, nothing


def _log_grows_by_the_next_seq() -> None:
    from runtime_service.replay.instance import Instance

    take = Instance._take

    def take_any(self: Any, event: Any, is_replayed: bool) -> None:
        self.position = event.seq - 1 if event.seq else self.position
        take(self, event, is_replayed)

    Instance._take = take_any


def _code_is_compared_with_the_log() -> None:
    from runtime_service.replay import steps

    steps.check_step = nothing


def _eviction_runs_nothing() -> None:
    from runtime_service.replay import instance

    def close_all(tasks: Any) -> None:
        for task in tasks:
            task.get_coro().close()

    instance.lay_to_rest = close_all


def _outside_is_out_of_reach() -> None:
    from runtime_service.replay import guard

    guard.refuse = nothing


def _order_of_sets() -> None:
    from runtime_service.replay.order import ReplayFuture, ReplayTask

    ReplayFuture.__hash__ = lambda self: id(self) >> 4
    ReplayTask.__hash__ = lambda self: -(id(self) >> 4)


def _silence_of_replays() -> None:
    from runtime_service.replay.instance import Instance

    deliver = Instance.deliver
    Instance.deliver = lambda self, event, is_replayed=False: deliver(self, event, is_replayed=False)


_REPLAY: Final = "tests/replay"

#: Name of a safeguard → what is known of it.
ROWS: Final[Mapping[str, Safeguard]] = {
    "order of the log": Safeguard(
        "a replay takes the next event and no other",
        _log_grows_by_the_next_seq,
        (f"{_REPLAY}/test_replay_order.py::test_a_log_grows_by_the_next_seq_only",),
    ),
    "code against log": Safeguard(
        "changed code that meets an old log is told so",
        _code_is_compared_with_the_log,
        (f"{_REPLAY}/test_replay_divergence.py::test_other_arguments_are_shown_side_by_side",),
    ),
    "eviction": Safeguard(
        "a suspension runs no code of the workflow",
        _eviction_runs_nothing,
        (f"{_REPLAY}/test_replay_eviction.py::test_eviction_runs_no_code_of_the_workflow",),
    ),
    "outside": Safeguard(
        "a workflow body cannot reach outside",
        _outside_is_out_of_reach,
        (f"{_REPLAY}/test_replay_guard.py::test_reaching_outside_refuses_and_names_the_line_and_the_replacement",),
    ),
    "order of sets": Safeguard(
        "a set of tasks has one order in every replay",
        _order_of_sets,
        (f"{_REPLAY}/test_replay_order.py::test_iteration_over_a_set_of_tasks_is_the_same_in_every_replay",),
    ),
    "silence": Safeguard(
        "a replay repeats no log line",
        _silence_of_replays,
        (f"{_REPLAY}/test_replay_silence.py::test_log_lines_of_a_workflow_are_not_repeated_by_a_replay",),
    ),
}
