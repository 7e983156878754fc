"""The working copy of one run while events are applied to it.

Owns what is between rows and projection: the run's columns as plain fields, its body, the entities touched so far
and the tokens they hold. It reads rows through a `Source` only (a transaction in ``append.py``, nothing at all in
``rebuild.py``, so that both project the same way) and writes only in `save`. It must never decide:
``projection.py`` changes it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Protocol

from holdfast.v1 import entity_pb2
from store_service import checksum
from store_service.engines.contract import EntityKind, EntityRow, RunRow, TokenRow, Transaction
from store_service.rules import stored
from store_service.rules.guard import Position
from store_service.rules.stored import EntityMessage


class Source(Protocol):
    """Where a draft finds entities that it has not touched yet."""

    def entity(self, run_id: str, kind: EntityKind, entity_id: str) -> EntityRow | None: ...

    def open_entities(self, run_id: str) -> list[EntityRow]: ...


@dataclass(slots=True)
class Entity:
    """One step, hook or wait in work. ``created_at`` is the event time of its creation, 0 when that was earlier."""

    kind: EntityKind
    entity_id: str
    message: EntityMessage
    created_seq: int
    created_at: int
    current_seq: int
    terminal_seq: int = 0
    due_ms: int | None = None

    @property
    def is_open(self) -> bool:
        return self.terminal_seq == 0

    def to_row(self, run_id: str) -> EntityRow:
        return EntityRow(
            run_id=run_id,
            kind=self.kind,
            entity_id=self.entity_id,
            status=self.message.status,
            is_open=self.is_open,
            created_seq=self.created_seq,
            current_seq=self.current_seq,
            terminal_seq=self.terminal_seq,
            due_ms=self.due_ms,
            body=self.message.SerializeToString(),
        )


def _entity_in_work(row: EntityRow) -> Entity:
    return Entity(
        kind=row.kind,
        entity_id=row.entity_id,
        message=stored.entity_of(row),
        created_seq=row.created_seq,
        created_at=0,
        current_seq=row.current_seq,
        terminal_seq=row.terminal_seq,
        due_ms=row.due_ms,
    )


@dataclass(slots=True)
class Draft:
    """One run in work; a run that does not exist yet has ``head_seq`` 0 and status 0.

    ``run`` is the body of the run row, ``body`` what is stored of it; ``touched`` and ``tokens`` hold what `save`
    writes (a token that is None is given back). ``found`` are entities that were looked up and not changed: the same
    is asked for by ``admission.py`` and then by ``projection.py``, and read once.
    """

    run_id: str
    source: Source
    run: entity_pb2.Run = field(default_factory=entity_pb2.Run)
    body: bytes = b""
    status: int = 0
    create_ms: int = 0
    update_ms: int = 0
    expire_ms: int | None = None
    head_seq: int = 0
    head_at: int = 0
    out_of_band_at: int = 0
    out_of_band_seq: int = 0
    replay_seq: int = 0
    started_seq: int = 0
    terminal_seq: int = 0
    head_checksum: bytes = checksum.FIRST
    is_body_changed: bool = False
    are_attributes_changed: bool = False
    touched: dict[tuple[EntityKind, str], Entity] = field(default_factory=dict)
    found: dict[tuple[EntityKind, str], Entity] = field(default_factory=dict)
    tokens: dict[str, TokenRow | None] = field(default_factory=dict)

    @property
    def position(self) -> Position:
        """What the guard compares with."""
        return Position(self.head_seq, self.head_at, self.out_of_band_at, self.out_of_band_seq, self.replay_seq)

    def find(self, kind: EntityKind, entity_id: str) -> Entity | None:
        """Return an entity as the events so far left it, without marking it as touched; None when there is none."""
        key = (kind, entity_id)
        known = self.touched.get(key) or self.found.get(key)
        if known is not None:
            return known
        row = self.source.entity(self.run_id, kind, entity_id)
        if row is None:
            return None
        entity = self.found[key] = _entity_in_work(row)
        return entity

    def touch(self, entity: Entity) -> Entity:
        """Take an entity into the rows that `save` writes."""
        self.touched[entity.kind, entity.entity_id] = entity
        return entity

    def take(self, kind: EntityKind, entity_id: str) -> Entity:
        """Return an entity that must exist, touched."""
        entity = self.find(kind, entity_id)
        if entity is None:
            raise stored.corrupt(self.run_id, f"{kind.name.lower()} {entity_id} was never created")
        return self.touch(entity)

    def open_entities(self) -> Iterator[Entity]:
        """Yield every open entity, in order of creation of those already stored, then those of this draft."""
        rows = [(row.kind, row.entity_id) for row in self.source.open_entities(self.run_id)]
        for key in dict.fromkeys([*rows, *self.touched]):
            entity = self.find(*key)
            if entity is not None and entity.is_open:
                yield entity

    def to_row(self) -> RunRow:
        """Return the run row as the events so far left it."""
        return RunRow(
            run_id=self.run_id,
            workflow_name=self.run.workflow_name,
            status=self.status,
            create_ms=self.create_ms,
            update_ms=self.update_ms,
            expire_ms=self.expire_ms,
            parent_run_id=self.run.parent_run_id,
            head_seq=self.head_seq,
            head_at=self.head_at,
            out_of_band_at=self.out_of_band_at,
            out_of_band_seq=self.out_of_band_seq,
            replay_seq=self.replay_seq,
            started_seq=self.started_seq,
            terminal_seq=self.terminal_seq,
            body=self.run.SerializeToString() if self.is_body_changed else self.body,
            head_checksum=self.head_checksum,
        )


def of_row(row: RunRow, source: Source) -> Draft:
    """Return the working copy of a stored run."""
    return Draft(
        run_id=row.run_id,
        source=source,
        run=stored.body_of_run(row),
        body=row.body,
        status=row.status,
        create_ms=row.create_ms,
        update_ms=row.update_ms,
        expire_ms=row.expire_ms,
        head_seq=row.head_seq,
        head_at=row.head_at,
        out_of_band_at=row.out_of_band_at,
        out_of_band_seq=row.out_of_band_seq,
        replay_seq=row.replay_seq,
        started_seq=row.started_seq,
        terminal_seq=row.terminal_seq,
        head_checksum=row.head_checksum,
    )


def save(tx: Transaction, draft: Draft) -> RunRow:
    """Write the rows of a draft that changed, and return its run row."""
    row = draft.to_row()
    (tx.put_run if draft.is_body_changed else tx.put_head)(row)
    if draft.are_attributes_changed:
        tx.put_attributes(draft.run_id, dict(draft.run.attributes))
    for entity in draft.touched.values():
        tx.put_entity(entity.to_row(draft.run_id), created_at=entity.created_at)
    for token, owner in draft.tokens.items():
        if owner is None:
            tx.delete_token(token)
        else:
            tx.put_token(owner)
    return row
