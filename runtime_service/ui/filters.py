"""The address of the list of runs ⇄ what it shows.

Owns the names in the query: ``status`` and ``attribute`` (``key=value``) may come more than once, ``workflow`` and
``page`` once. Pure. An address that means nothing is refused as the front door would refuse it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final
from urllib.parse import urlencode

from starlette.datastructures import QueryParams

from holdfast.refusal import invalid_field
from holdfast.v1 import entity_pb2, payload_pb2, runtime_service_pb2
from runtime_service.ui.limits import RUNS_PER_PAGE

_PREFIX: Final = "RUN_STATUS_"

#: Word of a state → its number, in order of a run's life.
STATUSES: Final[Mapping[str, entity_pb2.RunStatus.ValueType]] = {
    name.removeprefix(_PREFIX).lower(): number for name, number in entity_pb2.RunStatus.items() if number
}


@dataclass(frozen=True, slots=True)
class Filter:
    """Which runs are shown. ``attributes`` are (key, value); ``page`` is the store's token, "" for the newest."""

    statuses: tuple[str, ...] = ()
    workflow: str = ""
    attributes: tuple[tuple[str, str], ...] = ()
    page: str = ""

    @classmethod
    def read(cls, query: QueryParams) -> Filter:
        """Read an address. Raises Refusal INVALID_FIELD."""
        attributes = tuple(_attribute(text) for text in query.getlist("attribute") if text.strip())
        statuses = tuple(_status(word) for word in query.getlist("status") if word)
        return cls(statuses, query.get("workflow", "").strip(), attributes, query.get("page", ""))

    def __bool__(self) -> bool:
        return bool(self.statuses or self.workflow or self.attributes)

    @property
    def request(self) -> runtime_service_pb2.FindRunsRequest:
        """What to ask the front door."""
        return runtime_service_pb2.FindRunsRequest(
            page_size=RUNS_PER_PAGE,
            page_token=self.page,
            statuses=[STATUSES[word] for word in self.statuses],
            workflow_name=self.workflow,
            attributes=dict(self.attributes),
            view=payload_pb2.PAYLOAD_VIEW_OMITTED,
        )

    @property
    def query(self) -> str:
        """The address, "" or from its question mark on."""
        pairs = [("status", word) for word in self.statuses]
        pairs += [("workflow", self.workflow)] if self.workflow else []
        pairs += [("attribute", f"{key}={value}") for key, value in self.attributes]
        pairs += [("page", self.page)] if self.page else []
        return f"?{urlencode(pairs)}" if pairs else ""

    def of_page(self, token: str) -> Filter:
        """The same on another page."""
        return replace(self, page=token)


def _attribute(text: str) -> tuple[str, str]:
    key, mark, value = text.partition("=")
    if not (mark and key.strip()):
        raise invalid_field("attribute", f"expected key=value, got {text[:80]!r}")
    return key.strip(), value.strip()


def _status(word: str) -> str:
    if word not in STATUSES:
        raise invalid_field("status", f"expected one of {', '.join(STATUSES)}, got {word[:80]!r}")
    return word
