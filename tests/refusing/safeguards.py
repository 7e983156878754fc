"""Every safeguard, how it is switched off, and the tests that must fail then.

Owns the table. A switch puts something harmless in the place of the safeguard, in a process that dies with it; a
safeguard without a test that fails does not exist. Whoever adds a safeguard adds a line. Read ``switched_off.py`` for
who runs it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any


@dataclass(frozen=True, slots=True)
class Safeguard:
    """``what`` it is for, in words; ``switch_off`` takes it out of this process; ``tests`` fail without it."""

    what: str
    switch_off: Callable[[], None]
    tests: tuple[str, ...]


def _nothing(*_: Any, **__: Any) -> None:
    """Refuse nothing."""


def _guard_comparison() -> None:
    from store_service.rules import guard

    guard.compare = lambda snapshot, run: guard.Verdict.FRESH


def _guard_of_facts() -> None:
    from store_service.rules import guard

    compare = guard.compare
    guard.compare = lambda snapshot, run: compare(snapshot, replace(run, out_of_band_at=0, out_of_band_seq=0))


def _guard_of_replays() -> None:
    from store_service.rules import guard

    compare = guard.compare
    guard.compare = lambda snapshot, run: compare(snapshot, replace(run, replay_seq=0))


def _guard_of_other_logs() -> None:
    from store_service.rules import guard

    compare = guard.compare
    far = 1 << 60
    guard.compare = lambda snapshot, run: compare(snapshot, replace(run, head_seq=far, head_at=far))


def _rising_clock() -> None:
    from store_service.rules import clock

    clock.event_time = lambda now_ms, head_at: max(now_ms, head_at)


def _wall_that_never_goes_back() -> None:
    from store_service.rules import clock

    clock.wall_time = lambda now_ms, update_ms: now_ms


def _held_receipts() -> None:
    from store_service.rules import leases

    leases.require_held = _nothing


def _acknowledged_receipts() -> None:
    from store_service.rules import leases

    acknowledge_held = leases.acknowledge

    def acknowledge(tx: Any, receipt: str, now_ms: int) -> None:
        if tx.leased_message(receipt) is not None:
            acknowledge_held(tx, receipt, now_ms)

    leases.acknowledge = acknowledge


def _receipt_of_each_delivery() -> None:
    from store_service.rules import queue

    queue.secrets = type("OneReceipt", (), {"token_urlsafe": staticmethod(lambda size: "same")})


def _group_lease() -> None:
    from store_service.engines.sqlite import statements

    statements.GROUP_IS_LEASED = "SELECT 1 WHERE ? = '' AND ? = ''"


def _end_of_leases() -> None:
    from store_service.rules import queue

    queue.take_back_expired = _nothing


def _keys_die_with_the_delivery() -> None:
    from store_service.engines.contract import MessageQuery
    from store_service.engines.sqlite.transaction import SqliteTransaction
    from store_service.rules.queue import LEASED, READY

    def waiting_message(self: Any, queue: str, key: str) -> Any:
        query = MessageQuery(queue=queue, limit=1000, states=(READY, LEASED))
        return next((row for row in self.messages(query) if row.key == key), None)

    SqliteTransaction.waiting_message = waiting_message


def _request_id() -> None:
    from store_service.rules import requests

    requests.recall = _nothing


def _content_of_a_request() -> None:
    from store_service.rules import requests

    requests.digest = lambda run_id, events, messages: b"same"


def _one_owner_of_a_token() -> None:
    from store_service.rules import admission

    admission._holder = _nothing


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


def _dense_deltas() -> None:
    from store_service.rules import delta, stored

    delta.require_dense = _nothing
    stored.require_next = _nothing
    stored.require_chain = _nothing


def _checksum_of_an_event() -> None:
    from store_service import checksum

    checksum.is_sound = lambda found, at, body: True


def _chain_of_checksums() -> None:
    from store_service import checksum

    checksum.are_neighbours = lambda before, after: True


def _head_of_the_chain() -> None:
    from store_service.rules import stored

    stored.require_head = _nothing


def _wake_up_with_a_fact() -> None:
    from store_service.rules import waking

    waking.wake = _nothing


def _all_or_none_of_missed_events() -> None:
    from store_service.rules import delta

    between = delta.between
    delta.between = lambda reader, run_id, after_seq, head, bytes_max: between(reader, run_id, after_seq, head, 1 << 30)


def _labels_have_a_limit() -> None:
    from store_service.rules import append

    append._check_quota = _nothing


def _one_process_owns_the_file() -> None:
    import fcntl

    fcntl.flock = _nothing


def _log_grows_by_the_next_seq() -> None:
    from runtime_service.replay.instance import Instance

    take = Instance._take

    def take_any(self: Any, event: Any, is_replayed: bool) -> None:
        self.position = event.seq - 1 if event.seq else self.position
        take(self, event, is_replayed)

    Instance._take = take_any


def _code_is_compared_with_the_log() -> None:
    from runtime_service.replay import steps

    steps.check_step = _nothing


def _eviction_runs_nothing() -> None:
    from runtime_service.replay import instance

    def close_all(tasks: Any) -> None:
        for task in tasks:
            task.get_coro().close()

    instance.lay_to_rest = close_all


def _outside_is_out_of_reach() -> None:
    from runtime_service.replay import guard

    guard.refuse = _nothing


def _order_of_sets() -> None:
    from runtime_service.replay.order import ReplayFuture, ReplayTask

    ReplayFuture.__hash__ = lambda self: id(self) >> 4
    ReplayTask.__hash__ = lambda self: -(id(self) >> 4)


def _silence_of_replays() -> None:
    from runtime_service.replay.instance import Instance

    deliver = Instance.deliver
    Instance.deliver = lambda self, event, is_replayed=False: deliver(self, event, is_replayed=False)


_RULES = "tests/rules"
_QUEUE = "tests/queue"
_REPLAY = "tests/replay"
#: Looks at every schedule of a run with two runtimes and one fault: whoever breaks a promise there is found.
_SCHEDULES = (
    "tests/simulation/test_every_schedule.py::test_every_schedule_of_notes_and_values_with_one_fault_keeps_the_promises"
)

#: Name of a safeguard → what is known of it.
SAFEGUARDS: dict[str, Safeguard] = {
    "guard": Safeguard(
        "a decision from an old copy of the log is refused",
        _guard_comparison,
        (f"{_RULES}/test_staleness.py::test_a_fact_in_the_millisecond_of_the_snapshot_is_still_seen", _SCHEDULES),
    ),
    "guard against facts": Safeguard(
        "the marker is compared, not only what replays wrote",
        _guard_of_facts,
        (f"{_RULES}/test_staleness.py::test_the_guard_covers_a_batch_as_a_whole", _SCHEDULES),
    ),
    "guard against another replay": Safeguard(
        "two replays with one snapshot do not both write",
        _guard_of_replays,
        (
            f"{_RULES}/test_staleness.py::test_two_replays_with_one_snapshot_and_no_fact_between_do_not_both_write",
            _SCHEDULES,
        ),
    ),
    "guard against another log": Safeguard(
        "a snapshot ahead of the log is refused",
        _guard_of_other_logs,
        (f"{_RULES}/test_staleness.py::test_a_snapshot_of_another_log_is_told_to_load_again_from_the_beginning",),
    ),
    "event clock": Safeguard(
        "event times rise strictly whatever the wall clock does",
        _rising_clock,
        (f"{_RULES}/test_append.py::test_event_times_rise_strictly_and_wall_times_never_go_back",),
    ),
    "wall clock": Safeguard(
        "the wall time of a log never goes back",
        _wall_that_never_goes_back,
        (f"{_RULES}/test_append.py::test_event_times_rise_strictly_and_wall_times_never_go_back",),
    ),
    "fence": Safeguard(
        "a writer whose lease moved on writes nothing",
        _held_receipts,
        (f"{_RULES}/test_append.py::test_a_writer_whose_lease_moved_on_writes_nothing", _SCHEDULES),
    ),
    "fence of the last write": Safeguard(
        "a receipt that is lost acknowledges nothing",
        _acknowledged_receipts,
        (f"{_RULES}/test_order_of_checks.py::test_a_lost_receipt_is_told_before_a_used_up_quota", _SCHEDULES),
    ),
    "a receipt for each delivery": Safeguard(
        "the receipt of a lease that moved on is worth nothing",
        _receipt_of_each_delivery,
        (f"{_QUEUE}/test_leases.py::test_a_holder_whose_lease_moved_on_is_fenced_off", _SCHEDULES),
    ),
    "group lease": Safeguard(
        "one message of a group is out at a time",
        _group_lease,
        (f"{_QUEUE}/test_queue_order.py::test_a_group_has_at_most_one_message_leased", _SCHEDULES),
    ),
    "end of leases": Safeguard(
        "the message of a dead holder is delivered again",
        _end_of_leases,
        (
            f"{_QUEUE}/test_leases.py::test_a_dead_holders_message_comes_back_when_its_lease_ends_and_not_before",
            _SCHEDULES,
        ),
    ),
    "keys die with the delivery": Safeguard(
        "a wake-up sent during a delivery is delivered after it",
        _keys_die_with_the_delivery,
        (
            f"{_QUEUE}/test_queue_order.py"
            "::test_a_key_dies_with_the_delivery_so_that_a_wake_up_during_it_is_delivered_after",
            _SCHEDULES,
        ),
    ),
    "request id": Safeguard(
        "a repeat gets the first answer and writes nothing",
        _request_id,
        (f"{_RULES}/test_requests.py::test_a_resume_retried_after_a_lost_reply_is_one_value", _SCHEDULES),
    ),
    "content of a request": Safeguard(
        "a request id is no excuse for another content",
        _content_of_a_request,
        (f"{_RULES}/test_requests.py::test_the_same_id_with_other_content_is_refused",),
    ),
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
        (f"{_RULES}/test_told_once.py::test_a_step_that_finishes_after_its_run_is_refused_cleanly", _SCHEDULES),
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
    "dense logs": Safeguard(
        "a log with a hole is an error and never a guess",
        _dense_deltas,
        (
            f"{_RULES}/test_append.py::test_a_log_with_a_gap_is_an_error_and_never_a_guess",
            f"{_RULES}/test_reading.py::test_a_reader_never_gets_a_log_with_a_hole",
        ),
    ),
    "checksum": Safeguard(
        "an event that is not what was written is never read",
        _checksum_of_an_event,
        (f"{_RULES}/test_checksums.py::test_no_read_gives_an_event_that_is_not_what_was_written",),
    ),
    "chain": Safeguard(
        "an event of another log in its place is found",
        _chain_of_checksums,
        (f"{_RULES}/test_checksums.py::test_an_event_of_another_log_in_its_place_is_found",),
    ),
    "head of the chain": Safeguard(
        "another newest event than the run knows is found",
        _head_of_the_chain,
        (f"{_RULES}/test_checksums.py::test_another_newest_event_than_the_run_knows_is_found",),
    ),
    "wake-up with the fact": Safeguard(
        "no fact is recorded without its wake-up",
        _wake_up_with_a_fact,
        (f"{_RULES}/test_append.py::test_a_run_that_named_a_queue_is_woken_by_every_fact_from_outside", _SCHEDULES),
    ),
    "all or none": Safeguard(
        "missed events that do not fit are not cut short",
        _all_or_none_of_missed_events,
        (f"{_RULES}/test_staleness.py::test_missed_events_come_all_or_none",),
    ),
    "quota": Safeguard(
        "a run has a limit",
        _labels_have_a_limit,
        (f"{_RULES}/test_append.py::test_labels_of_a_run_have_a_limit",),
    ),
    "owner of the file": Safeguard(
        "one process owns the database",
        _one_process_owns_the_file,
        ("tests/conformance/test_sqlite_file.py::test_a_second_engine_is_refused_through_a_symbolic_link_too",),
    ),
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
