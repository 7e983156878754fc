"""The spellings in which the SQL of the engines differs, and a session as far as reads need it.

Owns nothing else: a statement that needs more than another spelling belongs to its engine. Texts are spelled when a
module is loaded, never per call, because the path of an append is hot and prepared statements are found by their text.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

Condition = tuple[str, tuple[object, ...]]


@dataclass(frozen=True, slots=True)
class Dialect:
    """How an engine spells what both say.

    ``mark`` stands for a parameter, ``is_open`` asks a truth value. With ``has_arrays`` one parameter holds all
    values of a set, so that sets of any size are one text.
    """

    mark: str
    is_open: str
    has_arrays: bool

    def spell(self, text: str) -> str:
        """Return a text that was written for SQLite as this engine says it."""
        return text.replace("?", self.mark).replace("is_open = 1", self.is_open)

    def one_of(self, column: str, values: Sequence[object]) -> Condition:
        """Return the condition that a column has one of the values, still to be spelled."""
        if self.has_arrays:
            return f"{column} = ANY(?)", (list(values),)
        return f"{column} IN ({marks(len(values))})", tuple(values)


def marks(count: int) -> str:
    """Return as many placeholders, still to be spelled."""
    return ", ".join("?" * count)


class Asking(Protocol):
    """A session that rows can be asked of."""

    def one(self, sql: str, parameters: Sequence[object] = ()) -> Any:
        """Return the first row as a tuple, None when there is none."""

    def all(self, sql: str, parameters: Sequence[object] = ()) -> list[Any]:
        """Return every row, as tuples."""

    def scalar(self, sql: str, parameters: Sequence[object] = ()) -> Any:
        """Return the first column of the first row, None when there is no row."""
