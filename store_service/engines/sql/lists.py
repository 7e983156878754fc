"""The lists whose filters vary: runs, entities, events of a run.

Owns the text of each, and its parameters, from a query of the contract. A filter that is absent is absent from the
text as well, so that the planner sees which index serves; the texts are few and stay prepared. It must never put a
value into a text: only column names and the literals that partial indexes ask for.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from holdfast.v1 import entity_pb2
from store_service.engines.contract import EntityKind, EntityQuery, RunQuery
from store_service.engines.sql import columns
from store_service.engines.sql.dialect import Condition, Dialect

SEQ_MAX: Final = 2**63 - 1

#: Every status that a run can have.
EVERY_STATUS: Final = tuple(status for status in entity_pb2.RunStatus.values() if status)

Statement = tuple[str, list[object]]

#: Along what a list of runs is read: the key of an attribute of its query, None for what stands in the run's own row.
Leader = str | None

#: What a list is sorted by: (kind, within one run) → column.
_SORTED_BY: Final = {
    (EntityKind.STEP, True): "created_seq",
    (EntityKind.STEP, False): "created_seq",
    (EntityKind.HOOK, True): "created_seq",
    (EntityKind.HOOK, False): "created_at",
    (EntityKind.WAIT, True): "due_ms",
    (EntityKind.WAIT, False): "due_ms",
}


def leaders(query: RunQuery) -> list[Leader]:
    """Return everything along which the page of a query can be read."""
    is_of_run = query.workflow_name or query.parent_run_id or query.statuses or not query.attributes
    return [None, *query.attributes] if is_of_run else [*query.attributes]


def runs(dialect: Dialect, query: RunQuery, leader: Leader) -> list[Statement]:
    """Return the statements whose rows, merged and cut to the limit, are the page of a query, read along a leader."""
    if leader is not None:
        return [_with_attribute(dialect, query, leader, status) for status in dict.fromkeys(query.statuses or (None,))]
    return [_in_status(dialect, query, status) for status in _statuses(query)]


def more_than(dialect: Dialect, query: RunQuery, leader: Leader, count: int) -> list[Statement]:
    """Return statements of which one finds a row if more than so many runs have what a leader asks for."""
    if leader is None:
        asked = [("runs", _of_run(query, status)) for status in _statuses(query)]
    else:
        asked = [("attributes", [(True, ("key = ? AND value = ?", (leader, query.attributes[leader])))])]
    return [_page(dialect, f"1 FROM {table}", given, "LIMIT 1 OFFSET ?", count) for table, given in asked]


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


def _in_status(dialect: Dialect, query: RunQuery, status: int | None) -> Statement:
    order = "DESC" if query.descending else "ASC"
    page = f"ORDER BY create_ms {order}, run_id {order} LIMIT ?"
    given = [*_of_run(query, status), *_bounds(query), *map(_has_attribute, query.attributes.items())]
    return _page(dialect, f"{columns.RUN} FROM runs", given, page, query.limit)


def _with_attribute(dialect: Dialect, query: RunQuery, key: str, status: int | None) -> Statement:
    """The runs that have an attribute are sorted as the page is."""
    order = "DESC" if query.descending else "ASC"
    led: list[tuple[bool, Condition]] = [(True, ("key = ? AND value = ?", (key, query.attributes[key])))]
    inner, values = _where([*led, *_bounds(query)])
    others = [(name, value) for name, value in query.attributes.items() if name != key]
    outer, more = _where([(True, ("run_id = led_id", ())), *_of_run(query, status), *map(_has_attribute, others)])
    # CROSS JOIN: SQLite then takes the tables in this order, and needs not sort.
    text = f"""
SELECT {columns.RUN} FROM (SELECT create_ms AS led_ms, run_id AS led_id FROM attributes {inner}) AS led
CROSS JOIN runs {outer} ORDER BY led_ms {order}, led_id {order} LIMIT ?"""
    return dialect.spell(text), [*values, *more, query.limit]


def _statuses(query: RunQuery) -> Iterable[int | None]:
    """The runs of a workflow or a parent are sorted within their status: each is read by itself."""
    is_sorted_by_status = query.workflow_name or query.parent_run_id
    return dict.fromkeys(query.statuses or (EVERY_STATUS if is_sorted_by_status else (None,)))


def _of_run(query: RunQuery, status: int | None) -> list[tuple[bool, Condition]]:
    return [
        (status is not None, ("status = ?", (status,))),
        (bool(query.workflow_name), ("workflow_name = ?", (query.workflow_name,))),
        (bool(query.parent_run_id), ("parent_run_id = ? AND parent_run_id <> ''", (query.parent_run_id,))),
    ]


def _bounds(query: RunQuery) -> list[tuple[bool, Condition]]:
    """One bound on either side: of two on the same side SQLite seeks to one and reads its way to the other.

    A run id is never empty, so (ms, "") lies before every run of that millisecond.
    """
    lower = (query.create_from_ms, "") if query.create_from_ms is not None else None
    upper = (query.create_until_ms, "") if query.create_until_ms is not None else None
    if query.after is not None and query.descending:
        upper = min(upper or query.after, query.after)
    elif query.after is not None:
        lower = max(lower or query.after, query.after)
    return [
        (lower is not None, ("(create_ms, run_id) > (?, ?)", lower or ())),
        (upper is not None, ("(create_ms, run_id) < (?, ?)", upper or ())),
    ]


def _has_attribute(attribute: tuple[str, str]) -> tuple[bool, Condition]:
    """Not EXISTS, of which PostgreSQL makes a join with all runs that have the attribute."""
    same = "a.create_ms = runs.create_ms AND a.run_id = runs.run_id"
    return True, (f"(SELECT 1 FROM attributes AS a WHERE a.key = ? AND a.value = ? AND {same}) = 1", attribute)


def _page(dialect: Dialect, selected: str, given: Sequence[tuple[bool, Condition]], page: str, limit: int) -> Statement:
    where, values = _where(given)
    return dialect.spell(f"SELECT {selected} {where} {page}"), [*values, limit]


def _where(given: Sequence[tuple[bool, Condition]]) -> Statement:
    wanted = [condition for is_given, condition in given if is_given]
    where = "WHERE " + " AND ".join(text for text, _ in wanted) if wanted else ""
    return where, [value for _, values in wanted for value in values]
