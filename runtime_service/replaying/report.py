"""What a check of a store found: counts, and the divergences grouped by the place where they begin."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from runtime_service.replaying.divergence import Divergence, general


@dataclass(frozen=True, slots=True)
class Group:
    """The runs that part at one place, in the order found. Never empty."""

    divergences: tuple[Divergence, ...]

    @property
    def first(self) -> Divergence:
        return self.divergences[0]

    @property
    def run_ids(self) -> tuple[str, ...]:
        return tuple(it.run_id for it in self.divergences)

    def as_json(self) -> dict[str, Any]:
        """Return what programs read: the place once, the first run's words, every run."""
        first = self.first
        return {
            "workflow": first.workflow,
            "kind": first.kind,
            "entity_id": general(first.entity_id),
            "error": first.error,
            "message": first.message,
            "source": first.source,
            "runs": [{"run_id": it.run_id, "seq": it.seq} for it in self.divergences],
        }


@dataclass(slots=True)
class Report:
    """What was replayed, what parts, and what was left alone.

    ``unknown``: open runs by workflow that no loaded module defines. ``other_versions``: open runs of versions that are
    not loaded; they stay with their own runtimes.
    """

    open_count: int = 0
    ended_count: int = 0
    divergences: list[Divergence] = field(default_factory=list)
    unknown: Counter[str] = field(default_factory=Counter)
    other_versions: Counter[str] = field(default_factory=Counter)

    @property
    def groups(self) -> list[Group]:
        """The divergences by place, the most frequent first."""
        return grouped(self.divergences)

    def as_json(self) -> dict[str, Any]:
        """Return what programs read."""
        return {
            "open": self.open_count,
            "ended": self.ended_count,
            "diverging": len(self.divergences),
            "groups": [group.as_json() for group in self.groups],
            "unknown_workflows": dict(self.unknown),
            "other_versions": dict(self.other_versions),
        }


def grouped(divergences: Iterable[Divergence]) -> list[Group]:
    """Group divergences by place, the largest group first."""
    places: dict[object, list[Divergence]] = {}
    for it in divergences:
        places.setdefault(it.place, []).append(it)
    return sorted((Group(tuple(found)) for found in places.values()), key=lambda group: -len(group.divergences))
