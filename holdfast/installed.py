"""Which version of holdfast this is: asked by both services and the command line, looked up once."""

from __future__ import annotations

from functools import cache
from importlib.metadata import PackageNotFoundError, version


@cache
def installed_version() -> str:
    """Return the version of the installed package; "0" in a source tree that is not installed."""
    # Cached: reading the package's metadata takes most of a millisecond.
    try:
        return version("holdfast")
    except PackageNotFoundError:
        return "0"
