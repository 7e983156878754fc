"""The lists whose filters vary: runs, entities, events of a run.

Owns the text of each, and its parameters, from a query of the contract. A filter that is absent is absent from the
text as well, so that the planner sees which index serves; the texts are few and stay prepared. It must never put a
value into a text: only column names and the literals that partial indexes ask for.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from store_service.engines.contract import EntityKind, EntityQuery, RunQuery
from store_service.engines.sql import columns
from store_service.engines.sql.dialect import Condition, Dialect

SEQ_MAX: Final = 2**63 - 1

Statement = tuple[str, list[object]]

#: What a list is sorted by: (kind, within one run) → column.
_SORTED_BY: Final = {
    (EntityKind.STEP, True): "created_seq",
    (EntityKind.STEP, False): "created_seq",
    (EntityKind.HOOK, True): "created_seq",
    (EntityKind.HOOK, False): "created_at",
    (EntityKind.WAIT, True): "due_ms",
    (EntityKind.WAIT, False): "due_ms",
}


def runs_in_status(dialect: Dialect, query: RunQuery, status: int | None) -> Statement:
    """Return the page of a query for one of its statuses (None: any), in the order of the query."""
    beyond, order = ("<", "DESC") if query.descending else (">", "ASC")
    given: list[tuple[bool, Condition]] = [
        (status is not None, ("status = ?", (status,))),
        (bool(query.workflow_name), ("workflow_name = ?", (query.workflow_name,))),
        (bool(query.parent_run_id), ("parent_run_id = ? AND parent_run_id <> ''", (query.parent_run_id,))),
        (query.create_from_ms is not None, ("create_ms >= ?", (query.create_from_ms,))),
        (query.create_until_ms is not None, ("create_ms < ?", (query.create_until_ms,))),
        (query.after is not None, (f"(create_ms, run_id) {beyond} (?, ?)", query.after or ())),
        *(
            (True, ("run_id IN (SELECT run_id FROM attributes WHERE key = ? AND value = ?)", attribute))
            for attribute in query.attributes.items()
        ),
    ]
    page = f"ORDER BY create_ms {order}, run_id {order} LIMIT ?"
    return _page(dialect, f"{columns.RUN} FROM runs", given, page, query.limit)


def entities(dialect: Dialect, query: EntityQuery) -> Statement:
    """Return the page of an entity query."""
    column = _SORTED_BY[query.kind, bool(query.run_id)]
    given: list[tuple[bool, Condition]] = [
        (True, (f"kind = {query.kind.value}", ())),
        (bool(query.run_id), ("run_id = ?", (query.run_id,))),
        (bool(query.statuses), dialect.one_of("status", query.statuses)),
        (query.due_until_ms is not None, ("due_ms < ?", (query.due_until_ms,))),
        (query.after is not None, (f"({column}, run_id, entity_id) > (?, ?, ?)", query.after or ())),
    ]
    page = f"ORDER BY {column}, run_id, entity_id LIMIT ?"
    return _page(dialect, f"{columns.ENTITY} FROM entities", given, page, query.limit)


def events(
    dialect: Dialect,
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
    given: list[tuple[bool, Condition]] = [
        (True, ("run_id = ? AND seq > ? AND seq < ?", (run_id, after_seq, until))),
        (bool(kinds), dialect.one_of("kind", kinds)),
        (bool(entity_id), ("entity_id = ?", (entity_id,))),
    ]
    order = "DESC" if descending else "ASC"
    return _page(dialect, f"{columns.EVENT} FROM events", given, f"ORDER BY seq {order} LIMIT ?", limit)


def _page(dialect: Dialect, selected: str, given: Sequence[tuple[bool, Condition]], page: str, limit: int) -> Statement:
    wanted = [condition for is_given, condition in given if is_given]
    where = "WHERE " + " AND ".join(text for text, _ in wanted) if wanted else ""
    text = dialect.spell(f"SELECT {selected} {where} {page}")
    return text, [*(value for _, values in wanted for value in values), limit]
