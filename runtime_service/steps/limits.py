"""The limits of one step attempt, with unit and reason."""

from __future__ import annotations

from typing import Final

#: Bytes of heartbeat details: they are written with every retry, so they are a position, not a result.
HEARTBEAT_BYTES_MAX: Final = 64 * 1024

#: Seconds that a cancelled async body gets for its ``finally`` blocks before the attempt is reported without it.
CANCEL_GRACE_SECONDS: Final = 5.0

#: Milliseconds in a second, for readings of the monotonic clock.
MS: Final = 1_000
