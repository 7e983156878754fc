"""Every statement of the engine, parsed: only SQL that PostgreSQL-compatible distributed databases take too.

What is not on the lists below is refused here before it is committed: advisory locks, sequences, temporary tables,
triggers, LISTEN in the path of correctness, functions of PostgreSQL alone. A new statement form belongs on a list only
after docs/postgresql.md says which databases take it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import pglast
import pytest

from store_service.engines.contract import EntityKind, EntityQuery, RunQuery
from store_service.engines.postgres import migration, queue_statements, statements, stream_statements
from store_service.engines.postgres.statements import COMMON
from store_service.engines.sql import lists
from store_service.engines.sql.statements import Statements

#: Statement nodes of the parser, for the modules that run in the path of correctness.
KINDS = {"SelectStmt", "InsertStmt", "UpdateStmt", "DeleteStmt", "TransactionStmt"}
#: And what a migration may do besides.
SCHEMA_KINDS = KINDS | {"CreateStmt", "IndexStmt", "AlterTableStmt", "DropStmt"}
FUNCTIONS = {"count", "min", "max", "now", "octet_length"}
#: Outside of correctness: the clock is for people's clocks, the hint saves latency; both may be missing.
FUNCTIONS_OF = {
    "HINT": {"pg_notify"},
    "LAST_ANNOUNCEMENT": {"extract", "clock_timestamp"},
    "_TABLES": {"current_schema"},
}
NEVER = re.compile(
    r"(?i)advisory|nextval|\bserial\b|\btemp|trigger|\blisten\b|\bnotify\b|ctid|xmin|\bcopy\b|lock table"
)


def fixed(holder: ModuleType | Statements) -> Iterator[tuple[str, str]]:
    for name, value in vars(holder).items():
        if name.isupper() and isinstance(value, str):
            yield name, value


def built() -> Iterator[tuple[str, str]]:
    everything = RunQuery(
        limit=1,
        after=(1, "r"),
        workflow_name="w",
        parent_run_id="p",
        attributes={"a": "b", "c": "d"},
        create_from_ms=1,
        create_until_ms=2,
    )
    yield "runs, all", lists.runs(COMMON.dialect, RunQuery(limit=1), None)[0][0]
    for leader in lists.leaders(everything):
        yield f"runs by {leader}", lists.runs(COMMON.dialect, everything, leader)[0][0]
        yield f"count of {leader}", lists.more_than(COMMON.dialect, everything, leader, 1)[0][0]
    for kind in EntityKind:
        for run_id in ("", "r"):
            query = EntityQuery(kind=kind, limit=1, run_id=run_id, after=(1, "r", "e"), statuses=(1,), due_until_ms=1)
            yield f"entities {kind} {run_id}", lists.entities(COMMON.dialect, query)[0]
    pages = {"after_seq": 1, "before_seq": 2, "limit": 3, "kinds": [1], "entity_id": "e"}
    for descending in (False, True):
        yield f"events {descending}", lists.events(COMMON.dialect, "r", descending=descending, **pages)[0]


def every_statement() -> dict[str, str]:
    modules = (statements, queue_statements, stream_statements)
    found = {f"{module.__name__.rpartition('.')[2]}.{name}": text for module in modules for name, text in fixed(module)}
    found |= {f"common.{name}": text for name, text in fixed(COMMON)}
    for name, value in vars(migration).items():
        if name.startswith("_") and name[1:2].isupper() and isinstance(value, str):
            found[f"migration.{name}"] = value
    return found | {f"lists.{name}": text for name, text in built()}


STATEMENTS = every_statement()


def numbered(text: str) -> str:
    """Return a statement with its placeholders as the server sees them."""
    numbers = iter(range(1, 100))
    names: dict[str, int] = {}

    def mark(found: re.Match[str]) -> str:
        name = found[1]
        return f"${next(numbers) if name is None else names.setdefault(name, len(names) + 1)}"

    return re.sub(r"%(?:\((\w+)\))?s", mark, text)


def nodes(tree: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(tree, dict):
        for key, value in tree.items():
            yield key, value
            yield from nodes(value)
    elif isinstance(tree, list):
        for value in tree:
            yield from nodes(value)


def kinds_and_functions(text: str) -> tuple[set[str], set[str]]:
    tree = json.loads(pglast.parser.parse_sql_json(text))
    kinds = {kind for statement in tree["stmts"] for kind in statement["stmt"]}
    calls = [value for key, value in nodes(tree) if key == "FuncCall"]
    return kinds, {call["funcname"][-1]["String"]["sval"] for call in calls}


@pytest.mark.parametrize("name", sorted(STATEMENTS))
def test_each_statement_is_on_the_list(name: str) -> None:
    kinds, functions = kinds_and_functions(numbered(STATEMENTS[name]))
    short = name.partition(".")[2]
    assert kinds <= (SCHEMA_KINDS if name.startswith("migration.") else KINDS)
    assert functions <= FUNCTIONS | FUNCTIONS_OF.get(short, set())
    if short not in FUNCTIONS_OF:
        assert not NEVER.search(STATEMENTS[name])


@pytest.mark.parametrize("known", migration.known_migrations(), ids=lambda it: it.name)
def test_each_migration_is_on_the_list(known: migration.Migration) -> None:
    kinds, functions = kinds_and_functions(known.sql)
    assert kinds <= SCHEMA_KINDS
    assert functions <= FUNCTIONS
    assert not NEVER.search(re.sub(r"--[^\n]*", "", known.sql))


REFUSED = (
    "SELECT pg_advisory_lock(1)",
    "SELECT nextval('a')",
    "LISTEN a",
    "LOCK TABLE runs",
    "COPY runs FROM STDIN",
    "DO ''",
)


@pytest.mark.parametrize("text", REFUSED)
def test_the_list_refuses_what_it_is_there_to_refuse(text: str) -> None:
    kinds, functions = kinds_and_functions(text)
    assert not (kinds <= KINDS and functions <= FUNCTIONS and not NEVER.search(text))


def test_what_is_read_for_a_decision_waits_in_order_or_not_at_all() -> None:
    """A statement that locks several rows sorts them, or passes over what is locked."""
    for name, text in STATEMENTS.items():
        if "FOR UPDATE" not in text or "SKIP LOCKED" in text or " = ANY(" not in text:
            continue
        assert "ORDER BY" in text, name
