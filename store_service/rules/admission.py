"""May this event happen, and as what exactly? One event of a batch against the run as the events before it left it.

Owns the turn from a verdict of ``transitions.py`` into a refusal, and the three things that a state alone does not
say: which attempt of a step, not before its retry time, and who owns a hook token. It may fill in what the client
left to the store (a running attempt, a token) or put a hook_conflict in place of a hook_created. It must never
write: the batch may still be refused by a later event.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from holdfast.refusal import invalid_field
from holdfast.v1 import entity_pb2, event_pb2
from store_service.engines.contract import Reader, TokenRow
from store_service.rules import clock, refusals, stored
from store_service.rules.contents import is_same
from store_service.rules.draft import Draft, Entity
from store_service.rules.kinds import KINDS, type_of
from store_service.rules.transitions import ABSENT, ENTITY_TRANSITIONS, RUN_STATES, Verdict

Event = event_pb2.Event

_TOKEN_BYTES: Final = 24


@dataclass(slots=True)  # not frozen: that makes it five times as slow to build, and every event builds one
class Question:
    """One event on its way in. ``earlier`` are the events of the batch before it, already placed in the log."""

    reader: Reader
    draft: Draft
    event: Event
    event_type: event_pb2.EventType.ValueType
    index: int
    origin: event_pb2.EventOrigin.ValueType
    now_ms: int
    earlier: Sequence[Event]

    def recorded(self, seq: int) -> Event:
        """Return an event of the run, of the log or of the batch."""
        for event in self.earlier:
            if event.seq == seq:
                return event
        row = self.reader.event(self.draft.run_id, seq)
        if row is None:
            raise stored.corrupt(self.draft.run_id, f"event {seq} is missing", seq=seq)
        return stored.event_of(row)


def admit(
    reader: Reader,
    draft: Draft,
    event: Event,
    index: int,
    origin: event_pb2.EventOrigin.ValueType,
    now_ms: int,
    earlier: Sequence[Event] = (),
) -> Event:
    """Return the event as it may enter the log, a copy with its ``type`` set and without a place yet.

    Raises the Refusal that the run's, the entity's or the token's state asks for.
    """
    event_type = type_of(event)
    if not event_type:
        raise invalid_field("event.attributes", "exactly one arm must be set")
    question = Question(reader, draft, event, event_type, index, origin, now_ms, earlier)
    _ask_run(question)
    entity = _ask_entity(question)
    placed = Event()
    placed.CopyFrom(event)
    placed.type = event_type
    prepare = _PREPARATIONS.get(event_type)
    if prepare is not None:
        prepare(question, placed, entity)
    return placed


# --- the state of the run -----------------------------------------------------------------------------------------


def _ask_run(question: Question) -> None:
    verdict = RUN_STATES[question.event_type][question.draft.status]
    check = _RUN_ANSWERS.get(verdict)
    if check is not None:
        check(question)


def _refuse_missing_run(question: Question) -> None:
    raise refusals.run_not_found(question.draft.run_id)


def _refuse_ended_run(question: Question) -> None:
    draft = question.draft
    raise refusals.run_terminal(draft.run_id, question.event_type, draft.status, draft.terminal_seq, question.index)


def _refuse_unstarted_run(question: Question) -> None:
    draft = question.draft
    raise refusals.illegal_for_run(draft.run_id, question.event_type, draft.status, draft.head_seq, question.index)


def _refuse_replay(question: Question) -> None:
    if question.origin == event_pb2.EVENT_ORIGIN_REPLAY:
        _refuse_unstarted_run(question)


def _refuse_clients(question: Question) -> None:
    if question.origin != event_pb2.EVENT_ORIGIN_STORE:
        _refuse_unstarted_run(question)


def _refuse_existing_run(question: Question) -> None:
    draft = question.draft
    if question.event_type == event_pb2.EVENT_TYPE_RUN_STARTED:
        raise refusals.started_already(draft.run_id, draft.started_seq, question.index)
    raise refusals.exists(draft.run_id, "", 1, is_same(question.event, question.recorded(1)), question.index)


_RUN_ANSWERS: Final[Mapping[Verdict, Callable[[Question], None]]] = MappingProxyType(
    {
        Verdict.MISSING: _refuse_missing_run,
        Verdict.ENDED: _refuse_ended_run,
        Verdict.ILLEGAL: _refuse_unstarted_run,
        Verdict.BY_FORCE: _refuse_replay,
        Verdict.BY_STORE: _refuse_clients,
        Verdict.EXISTS: _refuse_existing_run,
    }
)


# --- the state of the entity ----------------------------------------------------------------------------------------


def _ask_entity(question: Question) -> Entity | None:
    kind = KINDS[question.event_type].entity
    if kind is None:
        return None
    entity = question.draft.find(kind, question.event.correlation_id)
    status = entity.message.status if entity is not None else ABSENT
    refuse = _ENTITY_ANSWERS.get(ENTITY_TRANSITIONS[question.event_type][status])
    if refuse is not None:
        refuse(question, entity)
    return entity


def _refuse_missing_entity(question: Question, entity: Entity | None) -> None:
    kind = KINDS[question.event_type].entity
    assert kind is not None
    raise refusals.entity_not_found(question.draft.run_id, kind, question.event.correlation_id)


def _refuse_existing_entity(question: Question, entity: Entity | None) -> None:
    assert entity is not None
    same = is_same(question.event, question.recorded(entity.created_seq))
    raise refusals.exists(question.draft.run_id, entity.entity_id, entity.created_seq, same, question.index)


def _refuse_transition(question: Question, entity: Entity | None, why: str = "") -> None:
    assert entity is not None
    raise refusals.illegal_for_entity(
        question.event,
        question.draft.run_id,
        question.event_type,
        entity.message.status,
        entity.current_seq,
        question.index,
        why,
    )


def _refuse_store_only(question: Question, entity: Entity | None) -> None:
    raise invalid_field("event.hook_conflict", "is written by the store only; send hook_created")


_ENTITY_ANSWERS: Final[Mapping[Verdict, Callable[[Question, Entity | None], None]]] = MappingProxyType(
    {
        Verdict.MISSING: _refuse_missing_entity,
        Verdict.EXISTS: _refuse_existing_entity,
        Verdict.ILLEGAL: _refuse_transition,
        Verdict.STORE_ONLY: _refuse_store_only,
    }
)


# --- what a state does not say --------------------------------------------------------------------------------------


def _prepare_start(question: Question, placed: Event, entity: Entity | None) -> None:
    """The next attempt, and not before its time. 0 leaves the number to the store."""
    step = _step(entity)
    wanted = step.attempt + 1
    placed.step_started.attempt = placed.step_started.attempt or wanted
    if placed.step_started.attempt != wanted:
        _refuse_transition(question, entity, f"attempt {wanted} is next, not {placed.step_started.attempt}")
    if step.HasField("retry_time") and clock.to_ms(step.retry_time) > question.now_ms:
        raise refusals.retry_too_early(
            question.draft.run_id, step.step_id, clock.to_ms(step.retry_time), question.now_ms
        )


def _prepare_outcome(question: Question, placed: Event, entity: Entity | None) -> None:
    """The outcome of the running attempt and of no other. 0 stands for the running one."""
    step = _step(entity)
    outcome = getattr(placed, KINDS[question.event_type].arm)
    outcome.attempt = outcome.attempt or step.attempt
    if outcome.attempt != step.attempt:
        _refuse_transition(question, entity, f"attempt {step.attempt} is running, not {outcome.attempt}")


def _step(entity: Entity | None) -> entity_pb2.Step:
    assert entity is not None and isinstance(entity.message, entity_pb2.Step)
    return entity.message


def _prepare_hook(question: Question, placed: Event, entity: Entity | None) -> None:
    """One token, one open hook. Two runs that claim a token at once come here one after the other: the first wins,
    and the other's log says so for ever (`test_of_two_runs_that_claim_a_token_exactly_one_wins`)."""
    created = placed.hook_created
    if not created.token:
        created.token = secrets.token_urlsafe(_TOKEN_BYTES)
    holder = _holder(question, created.token)
    if holder is None:
        return
    if not _is_conflict_recorded(question):
        raise refusals.token_conflict(holder)
    placed.type = event_pb2.EVENT_TYPE_HOOK_CONFLICT
    placed.hook_conflict.CopyFrom(
        event_pb2.HookConflict(token=holder.token, holder_run_id=holder.run_id, holder_hook_id=holder.hook_id)
    )


def _holder(question: Question, token: str) -> TokenRow | None:
    """Return who holds a token, as the events of the batch so far left it."""
    tokens = question.draft.tokens
    holder = tokens[token] if token in tokens else question.reader.token(token)
    if holder is None or holder.retain_until_ms is None:
        return holder
    # Retention keeps others away; the run itself may open its hook again.
    is_free = holder.retain_until_ms <= question.now_ms or holder.run_id == question.draft.run_id
    return None if is_free else holder


def _is_conflict_recorded(question: Question) -> bool:
    """A replay cannot handle a refusal of the store the same way on every replay, so its default is to record it."""
    policy = question.event.hook_created.conflict_policy
    if policy == event_pb2.HOOK_CONFLICT_POLICY_UNSPECIFIED:
        return question.origin == event_pb2.EVENT_ORIGIN_REPLAY
    return policy == event_pb2.HOOK_CONFLICT_POLICY_RECORD


_PREPARATIONS: Final[Mapping[int, Callable[[Question, Event, Entity | None], None]]] = MappingProxyType(
    {
        event_pb2.EVENT_TYPE_STEP_STARTED: _prepare_start,
        event_pb2.EVENT_TYPE_STEP_COMPLETED: _prepare_outcome,
        event_pb2.EVENT_TYPE_STEP_FAILED: _prepare_outcome,
        event_pb2.EVENT_TYPE_STEP_RETRYING: _prepare_outcome,
        event_pb2.EVENT_TYPE_HOOK_CREATED: _prepare_hook,
    }
)
