"""The numbered changes of a schema that an engine embeds as files ``migrations/NNNN_name.sql`` beside its code.

Owns how they are found and ordered; ``migration.py`` of an engine applies them. A file is never edited once released: a
change is a new number.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import resources


@dataclass(frozen=True, slots=True)
class Migration:
    """One numbered change of the schema."""

    version: int
    name: str
    sql: str


def embedded_in(package: str) -> list[Migration]:
    """Return the migrations of a package in order."""
    folder = resources.files(package) / "migrations"
    files = sorted((file for file in folder.iterdir() if file.name.endswith(".sql")), key=lambda file: file.name)
    return [Migration(int(file.name[:4]), file.name[5:-4], file.read_text("utf-8")) for file in files]
