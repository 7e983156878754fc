"""Names of step queues: which steps leave the runtime that holds their run, and what a queue may be called.

Owns the one rule of routing, so that decorators, replays and runtimes agree. Must know no service. Read
``runtime_service/tasks/dispatch.py`` for how a step goes out.
"""

from __future__ import annotations

import re
from typing import Final

#: The queue of steps that name none: they run in the runtime that holds their run, and never go out.
DEFAULT_QUEUE: Final = "default"

#: What a runtime may serve in place of names: every queue of the steps that it registered.
EVERY_QUEUE: Final = "*"

#: As the store asks for it.
_NAME: Final = re.compile(r"[a-z0-9._-]{1,128}")


def goes_out(queue: str) -> bool:
    """Tell whether a step of this queue is handed out as a task."""
    return queue not in ("", DEFAULT_QUEUE)


def checked_queue(queue: object, what: str) -> str:
    """Return the name of a queue, "" for none. Raises ValueError that names ``what``."""
    if not isinstance(queue, str) or (queue and not _NAME.fullmatch(queue)):
        raise ValueError(f"{what} must be 1 to 128 of a-z 0-9 . _ -, got {queue!r}")
    return queue
