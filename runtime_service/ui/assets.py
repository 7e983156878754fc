"""The files beside the pages: style, script, mark. Read once, served as they are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from typing import Final

_MEDIA_TYPES: Final = {
    "ui.css": "text/css; charset=utf-8",
    "live.js": "text/javascript; charset=utf-8",
    "mark.svg": "image/svg+xml",
}


@dataclass(frozen=True, slots=True)
class Asset:
    """A file and what it is."""

    body: bytes
    media_type: str


def read_assets() -> Mapping[str, Asset]:
    """Return every file by its name."""
    folder = files(__package__) / "static"
    return {name: Asset((folder / name).read_bytes(), kind) for name, kind in _MEDIA_TYPES.items()}
