"""The limits of the front door, with unit and reason.

Sizes that people meet where they write, too, are in ``holdfast/limits.py``. All are those of the store, so that it
never has to say no.
"""

from __future__ import annotations

from typing import Final

#: Characters of names, versions and request ids.
NAME_CHARS_MAX: Final = 256
VERSION_CHARS_MAX: Final = 128
REQUEST_ID_CHARS_MAX: Final = 128

#: Milliseconds of one AwaitRun: default and most, so that no proxy on the way takes the call for dead.
AWAIT_MS_DEFAULT: Final = 30_000
AWAIT_MS_MAX: Final = 60_000

#: Milliseconds between two messages of a silent WatchRun: least and most; absent means the store's default.
PROGRESS_MS_MIN: Final = 1_000
PROGRESS_MS_MAX: Final = 60_000

#: Rows of each list in DescribeRun.
OPEN_ENTITIES_MAX: Final = 100

#: Seconds between two tries of a watch whose store is away.
WATCH_PAUSE_SECONDS: Final = 0.2

#: Definitions whose descriptions are kept; more than a process registers, even over many reloads.
DESCRIBED_MAX: Final = 4_096
