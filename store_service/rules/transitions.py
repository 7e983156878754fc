"""What the state of a run and of its entities allows: two tables, and nothing else.

Owns the answer to "may this event happen now?" for every event type and every state. A state of 0 stands for "there
is no such entity". It must never look at anything but the two: attempts, retry times and tokens are
``admission.py``, which also turns a verdict into a refusal. `tests/rules/test_tables.py` holds both tables complete
over the enums.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import Enum
from types import MappingProxyType
from typing import Final

from holdfast.v1 import entity_pb2 as entity
from holdfast.v1 import event_pb2 as event
from store_service.engines.contract import EntityKind
from store_service.rules.kinds import KINDS

#: The state of what does not exist.
ABSENT: Final = 0


class Verdict(Enum):
    """May it happen? BY_FORCE: only when no replay derived it. BY_STORE: only when the store itself writes it."""

    ALLOWED = "allowed"
    BY_FORCE = "allowed by force"
    BY_STORE = "allowed to the store"
    EXISTS = "exists"
    MISSING = "missing"
    ILLEGAL = "illegal"
    ENDED = "the run has ended"
    STORE_ONLY = "never accepted from a client"


Row = Mapping[int, Verdict]

_V = Verdict
_RUN_ENDED: Final = {
    entity.RUN_STATUS_COMPLETED: _V.ENDED,
    entity.RUN_STATUS_FAILED: _V.ENDED,
    entity.RUN_STATUS_CANCELLED: _V.ENDED,
}


def _run(pending: Verdict, running: Verdict, absent: Verdict = _V.MISSING) -> Row:
    states = {ABSENT: absent, entity.RUN_STATUS_PENDING: pending, entity.RUN_STATUS_RUNNING: running}
    return MappingProxyType(states | _RUN_ENDED)


_RUN_CREATED: Final = MappingProxyType({ABSENT: _V.ALLOWED} | {status: _V.EXISTS for status in range(1, 6)})
_DECISION: Final = _run(_V.ILLEGAL, _V.ALLOWED)
_FACT: Final = _run(_V.ALLOWED, _V.ALLOWED)

#: What the state of the run says. Decisions need a started run; a fact of an entity is left to the entity.
RUN_STATES: Final[Mapping[int, Row]] = MappingProxyType(
    {event_type: _DECISION if kind.is_decision else _FACT for event_type, kind in KINDS.items()}
    | {
        event.EVENT_TYPE_RUN_CREATED: _RUN_CREATED,
        event.EVENT_TYPE_RUN_STARTED: _run(_V.ALLOWED, _V.EXISTS),
        event.EVENT_TYPE_RUN_CANCELLED: _run(_V.BY_FORCE, _V.ALLOWED),
        event.EVENT_TYPE_RUN_FAILED: _run(_V.BY_STORE, _V.ALLOWED),
    }
)

#: The states of each kind of entity, ABSENT first.
ENTITY_STATES: Final[Mapping[EntityKind, tuple[int, ...]]] = MappingProxyType(
    {
        EntityKind.STEP: (ABSENT, *entity.StepStatus.values()[1:]),
        EntityKind.HOOK: (ABSENT, *entity.HookStatus.values()[1:]),
        EntityKind.WAIT: (ABSENT, *entity.WaitStatus.values()[1:]),
    }
)


def _creation(kind: EntityKind) -> Row:
    return MappingProxyType({state: _V.EXISTS if state else _V.ALLOWED for state in ENTITY_STATES[kind]})


def _allowed_in(kind: EntityKind, allowed: Iterable[int]) -> Row:
    verdicts = dict.fromkeys(ENTITY_STATES[kind], _V.ILLEGAL) | {ABSENT: _V.MISSING}
    return MappingProxyType(verdicts | dict.fromkeys(allowed, _V.ALLOWED))


_RUNNING: Final = _allowed_in(EntityKind.STEP, [entity.STEP_STATUS_RUNNING])
_OPEN: Final = _allowed_in(EntityKind.HOOK, [entity.HOOK_STATUS_OPEN])

#: What the state of the entity says. The first terminal event wins: a closed entity takes no more.
ENTITY_TRANSITIONS: Final[Mapping[int, Row]] = MappingProxyType(
    {
        event.EVENT_TYPE_STEP_CREATED: _creation(EntityKind.STEP),
        # From RUNNING too: the attempt before was lost with its process.
        event.EVENT_TYPE_STEP_STARTED: _allowed_in(
            EntityKind.STEP, [entity.STEP_STATUS_PENDING, entity.STEP_STATUS_RUNNING]
        ),
        event.EVENT_TYPE_STEP_COMPLETED: _RUNNING,
        event.EVENT_TYPE_STEP_FAILED: _RUNNING,
        event.EVENT_TYPE_STEP_RETRYING: _RUNNING,
        event.EVENT_TYPE_HOOK_CREATED: _creation(EntityKind.HOOK),
        event.EVENT_TYPE_HOOK_RECEIVED: _OPEN,
        event.EVENT_TYPE_HOOK_DISPOSED: _OPEN,
        event.EVENT_TYPE_HOOK_CONFLICT: MappingProxyType(dict.fromkeys(ENTITY_STATES[EntityKind.HOOK], _V.STORE_ONLY)),
        event.EVENT_TYPE_WAIT_CREATED: _creation(EntityKind.WAIT),
        event.EVENT_TYPE_WAIT_COMPLETED: _allowed_in(EntityKind.WAIT, [entity.WAIT_STATUS_PENDING]),
    }
)
