"""Lists whose filters vary: the text of a query and its parameters, from a query object of the contract.

Owns the three lists that cannot be one fixed statement: runs, entities, events of a run. What is absent is absent
from the text as well, so that the planner sees which index serves; the texts are few and stay prepared. It must never
put a value into a text: only column names and the literals that partial indexes ask for.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from store_service.engines.contract import EntityKind, EntityQuery, RunQuery
from store_service.engines.postgres import rows

SEQ_MAX: Final = 2**63 - 1

Statement = tuple[str, list[object]]
Given = list[tuple[bool, str, tuple[object, ...]]]

#: What a list is sorted by: (kind, within one run) → column.
_SORTED_BY: Final = {
    (EntityKind.STEP, True): "created_seq",
    (EntityKind.STEP, False): "created_seq",
    (EntityKind.HOOK, True): "created_seq",
    (EntityKind.HOOK, False): "created_at",
    (EntityKind.WAIT, True): "due_ms",
    (EntityKind.WAIT, False): "due_ms",
}


def runs_in_status(query: RunQuery, status: int | None) -> Statement:
    """Return the page of a query for one of its statuses (None: any), in the order of the query."""
    beyond, order = ("<", "DESC") if query.descending else (">", "ASC")
    given: Given = [
        (status is not None, "status = %s", (status,)),
        (bool(query.workflow_name), "workflow_name = %s", (query.workflow_name,)),
        (bool(query.parent_run_id), "parent_run_id = %s AND parent_run_id <> ''", (query.parent_run_id,)),
        (query.create_from_ms is not None, "create_ms >= %s", (query.create_from_ms,)),
        (query.create_until_ms is not None, "create_ms < %s", (query.create_until_ms,)),
        (query.after is not None, f"(create_ms, run_id) {beyond} (%s, %s)", query.after or ()),
        *(
            (True, "run_id IN (SELECT run_id FROM attributes WHERE key = %s AND value = %s)", attribute)
            for attribute in query.attributes.items()
        ),
    ]
    where, parameters = _where(given)
    text = f"SELECT {rows.RUN} FROM runs{where} ORDER BY create_ms {order}, run_id {order} LIMIT %s"
    return text, [*parameters, query.limit]


def entities(query: EntityQuery) -> Statement:
    """Return the page of an entity query."""
    column = _SORTED_BY[query.kind, bool(query.run_id)]
    given: Given = [
        (True, f"kind = {query.kind.value}", ()),
        (bool(query.run_id), "run_id = %s", (query.run_id,)),
        (bool(query.statuses), "status = ANY(%s)", (list(query.statuses),)),
        (query.due_until_ms is not None, "due_ms < %s", (query.due_until_ms,)),
        (query.after is not None, f"({column}, run_id, entity_id) > (%s, %s, %s)", query.after or ()),
    ]
    where, parameters = _where(given)
    text = f"SELECT {rows.ENTITY} FROM entities{where} ORDER BY {column}, run_id, entity_id LIMIT %s"
    return text, [*parameters, query.limit]


def events(
    run_id: str,
    *,
    after_seq: int,
    before_seq: int | None,
    limit: int,
    descending: bool,
    kinds: Sequence[int],
    entity_id: str,
) -> Statement:
    """Return the page of a run's events with ``after_seq < seq < before_seq``."""
    until = SEQ_MAX if before_seq is None else before_seq
    given: Given = [
        (True, "run_id = %s AND seq > %s AND seq < %s", (run_id, after_seq, until)),
        (bool(kinds), "kind = ANY(%s)", (list(kinds),)),
        (bool(entity_id), "entity_id = %s", (entity_id,)),
    ]
    where, parameters = _where(given)
    order = "DESC" if descending else "ASC"
    return f"SELECT {rows.EVENT} FROM events{where} ORDER BY seq {order} LIMIT %s", [*parameters, limit]


def _where(given: Given) -> Statement:
    wanted = [(condition, values) for is_given, condition, values in given if is_given]
    if not wanted:
        return "", []
    text = " WHERE " + " AND ".join(condition for condition, _ in wanted)
    return text, [value for _, values in wanted for value in values]
