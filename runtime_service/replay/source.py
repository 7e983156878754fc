"""Which line of the user's code is calling: for ids in divergence reports and for refusals that name a line.

Looks at frames only and never opens a file, so that it works inside the guard (hazard 35).
"""

from __future__ import annotations

import sys
import sysconfig
from functools import lru_cache
from pathlib import Path
from types import FrameType
from typing import Final

from holdfast import context

_PACKAGES: Final = tuple(f"{Path(place).parent}/" for place in (context.__file__, Path(__file__).parent))
_STDLIB: Final = sysconfig.get_path("stdlib") + "/"
_INSTALLED: Final = tuple({sysconfig.get_path("purelib") + "/", sysconfig.get_path("platlib") + "/"})

#: Below this function of the loop are the service's frames.
_BOTTOM: Final = (str(Path(__file__).with_name("loop.py")), "_run_callbacks")

_USER, _INSTALLED_CODE, _STDLIB_CODE, _OURS = range(4)


def calling_line() -> str:
    """Return "file:line" of the innermost frame of the user's on the stack, else of an installed package's, else ""."""
    frame: FrameType | None = sys._getframe(1)
    best, best_kind = "", _OURS
    while frame is not None and best_kind != _USER and (frame.f_code.co_filename, frame.f_code.co_name) != _BOTTOM:
        kind = _kind(frame.f_code.co_filename)
        if kind < best_kind:
            best, best_kind = f"{frame.f_code.co_filename}:{frame.f_lineno}", kind
        frame = frame.f_back
    return best


def is_users_file(filename: str | None) -> bool:
    """Whether a module's file is the user's own: not of Python, not of an installed package, not of the runtime."""
    return filename is not None and _kind(filename) == _USER


@lru_cache(maxsize=4096)
def _kind(filename: str) -> int:
    if filename.startswith(_PACKAGES):
        return _OURS
    if filename.startswith(_INSTALLED):
        return _INSTALLED_CODE
    if filename.startswith(("<frozen", _STDLIB)):
        return _STDLIB_CODE
    return _USER
