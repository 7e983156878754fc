"""Safeguards of steps, hooks and runs: one owner, one beginning, one end.

Owns their switches and the tests that must fail without them. A switch puts something harmless in the place of the
safeguard, in a process that dies with it. Read ``safeguards.py`` for the whole table.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from tests.refusing.safeguard import SCHEDULES, Safeguard, nothing


def _one_owner_of_a_token() -> None:
    from store_service.rules import admission

    admission._holder = nothing


def _first_end_of_a_step() -> None:
    from holdfast.v1 import entity_pb2, event_pb2
    from store_service.rules import admission
    from store_service.rules.transitions import ENTITY_TRANSITIONS, Verdict

    steps = dict.fromkeys(entity_pb2.StepStatus.values(), Verdict.ALLOWED)
    ends = (event_pb2.EVENT_TYPE_STEP_COMPLETED, event_pb2.EVENT_TYPE_STEP_FAILED)
    admission.ENTITY_TRANSITIONS = {**ENTITY_TRANSITIONS, **dict.fromkeys(ends, steps)}


def _closed_hooks() -> None:
    from holdfast.v1 import entity_pb2, event_pb2
    from store_service.rules import admission
    from store_service.rules.transitions import ENTITY_TRANSITIONS, Verdict

    hooks = dict.fromkeys(entity_pb2.HookStatus.values(), Verdict.ALLOWED)
    admission.ENTITY_TRANSITIONS = {**ENTITY_TRANSITIONS, event_pb2.EVENT_TYPE_HOOK_RECEIVED: hooks}


def _end_of_a_run() -> None:
    from store_service.rules import admission, append

    admission._RUN_ANSWERS = {}
    append.refusals = type("Never", (), {"run_terminal": staticmethod(append.refusals.run_terminal)})
    draft_of_row = append.draft.of_row

    def open_run(tx: Any, request: Any, now_ms: int) -> Any:
        return draft_of_row(tx.run(request.run_id), tx)

    append._open_run = open_run


def _created_once() -> None:
    from store_service.rules import admission
    from store_service.rules.transitions import Verdict

    answers = dict(admission._ENTITY_ANSWERS)
    answers.pop(Verdict.EXISTS)
    admission._ENTITY_ANSWERS = answers


def _number_of_the_attempt() -> None:
    from holdfast.v1 import event_pb2
    from store_service.rules import admission

    outcomes = (
        event_pb2.EVENT_TYPE_STEP_COMPLETED,
        event_pb2.EVENT_TYPE_STEP_FAILED,
        event_pb2.EVENT_TYPE_STEP_RETRYING,
    )
    preparations = admission._PREPARATIONS
    admission._PREPARATIONS = {kind: it for kind, it in preparations.items() if kind not in outcomes}


def _time_of_a_retry() -> None:
    from store_service.rules import admission

    too_early = admission._prepare_start

    def prepare(question: Any, placed: Any, entity: Any) -> None:
        too_early(replace(question, now_ms=1 << 60), placed, entity)

    admission._PREPARATIONS = {kind: prepare if it is too_early else it for kind, it in admission._PREPARATIONS.items()}


def _labels_have_a_limit() -> None:
    from store_service.rules import append

    append._check_quota = nothing


_RULES: Final = "tests/rules"

#: Name of a safeguard → what is known of it.
ROWS: Final[Mapping[str, Safeguard]] = {
    "token": Safeguard(
        "a hook token has one owner",
        _one_owner_of_a_token,
        (f"{_RULES}/test_hook_tokens.py::test_of_two_runs_that_claim_a_token_exactly_one_wins",),
    ),
    "first end of a step": Safeguard(
        "the first terminal event of a step wins",
        _first_end_of_a_step,
        (f"{_RULES}/test_told_once.py::test_the_first_terminal_event_of_a_step_wins",),
    ),
    "closed hooks": Safeguard(
        "no value stands in the log after the close of its hook",
        _closed_hooks,
        (f"{_RULES}/test_hook_tokens.py::test_a_value_never_stands_in_the_log_after_the_close",),
    ),
    "end of a run": Safeguard(
        "an ended run takes nothing",
        _end_of_a_run,
        (f"{_RULES}/test_told_once.py::test_a_step_that_finishes_after_its_run_is_refused_cleanly", SCHEDULES),
    ),
    "created once": Safeguard(
        "an entity is created once",
        _created_once,
        (f"{_RULES}/test_told_once.py::test_an_entity_created_again_with_other_content_is_told_so",),
    ),
    "number of the attempt": Safeguard(
        "a late result of an earlier attempt is refused",
        _number_of_the_attempt,
        (f"{_RULES}/test_told_once.py::test_an_outcome_belongs_to_the_attempt_it_names",),
    ),
    "time of a retry": Safeguard(
        "a retry never starts early",
        _time_of_a_retry,
        (f"{_RULES}/test_told_once.py::test_a_retry_starts_at_its_time_and_not_a_millisecond_before",),
    ),
    "quota": Safeguard(
        "a run has a limit",
        _labels_have_a_limit,
        (f"{_RULES}/test_append.py::test_labels_of_a_run_have_a_limit",),
    ),
}
