"""A store as tables of plain rows: what `holdfast migrate` takes out of one engine and puts into another.

Owns the list of tables, their columns and the order of their rows, in words that both engines can say. Each engine has
a module ``moving.py`` that reads and writes them with what only it knows: where positions are kept, how a truth value
is stored. A row is a tuple of str, int, bytes, bool and None, the same from either engine, so that two stores can be
compared byte for byte. It must never decide what is moved: everything is. Read ``store_service/migrating.py`` next.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Final, Protocol

from store_service.engines.contract import Reader

Row = tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Table:
    """One table; ``order`` names the columns that its rows are sorted by, byte for byte and unambiguously."""

    name: str
    columns: tuple[str, ...]
    order: tuple[str, ...]
    truths: frozenset[str] = frozenset()

    def place(self, column: str) -> int:
        """Return the index of a column in a row."""
        return self.columns.index(column)


def _table(name: str, columns: str, *, order: str, truths: str = "") -> Table:
    return Table(name, tuple(columns.split()), tuple(order.split()), frozenset(truths.split()))


#: Every table of a store. Not here: what only an engine's own locks and hints need, and makes anew.
TABLES: Final = (
    _table("meta", "key value", order="key"),
    _table(
        "runs",
        "run_id workflow_name status create_ms update_ms expire_ms parent_run_id head_seq head_at out_of_band_at "
        "out_of_band_seq replay_seq started_seq terminal_seq body head_checksum",
        order="run_id",
    ),
    _table("attributes", "run_id key value create_ms", order="run_id key"),
    _table("events", "position run_id seq event_id at kind entity_id body checksum", order="position"),
    _table(
        "entities",
        "run_id kind entity_id status is_open created_seq current_seq terminal_seq due_ms body created_at",
        order="run_id kind entity_id",
        truths="is_open",
    ),
    _table("tokens", "token run_id hook_id retain_until_ms", order="token"),
    _table(
        "requests", "request_id digest run_id first_seq last_seq message_ids expire_ms checksum", order="request_id"
    ),
    _table("queues", "queue", order="queue"),
    _table(
        "messages",
        "number message_id queue state group key priority create_ms deliver_ms delivery_count max_deliveries receipt "
        "lease_ms lease_expire_ms last_reason body checksum is_head",
        order="number queue",
        truths="is_head",
    ),
    _table("settled", "receipt expire_ms", order="receipt"),
    _table(
        "streams",
        "number run_id name content_type next_index size_bytes is_closed closer_run_id closer_step_id closer_attempt "
        "create_ms update_ms",
        order="number",
        truths="is_closed",
    ),
    _table(
        "stream_writers",
        "number stream writer_id step_run_id step_id attempt next_chunk first_index",
        order="number stream",
    ),
    _table("chunks", "stream index writer data checksum", order="stream index"),
)


def quoted(columns: Iterable[str]) -> str:
    """Return column names as SQL of either engine; some of them are key words."""
    return ", ".join(f'"{name}"' for name in columns)


class Moved(Protocol):
    """An open database as tables."""

    @property
    def name(self) -> str:
        """Return what people call it; no password is in it."""

    @property
    def reader(self) -> Reader:
        """Return its reader, on the same snapshot."""

    def rows(self, table: Table) -> Iterator[Row]:
        """Yield every row of a table, in its order."""

    def last_position(self) -> int:
        """Return the highest store-wide position ever given, to events since deleted too."""


class MovedInto(Moved, Protocol):
    """A target: empty, and nobody sees what is put in before its block ends without an error."""

    def fill(self, table: Table, rows: Iterable[Row]) -> None:
        """Insert every row of a table, in its order. Once per table."""

    def put_last_position(self, position: int) -> None:
        """Give no position up to this one again. After every table is filled."""
