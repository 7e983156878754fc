"""The limits of one step attempt, with unit and reason."""

from __future__ import annotations

from typing import Final

#: Bytes of heartbeat details: they are written with every retry, so they are a position, not a result.
HEARTBEAT_BYTES_MAX: Final = 64 * 1024

#: Seconds that a cancelled async body gets for its ``finally`` blocks before the attempt is reported without it.
CANCEL_GRACE_SECONDS: Final = 5.0

#: Milliseconds in a second, for readings of the monotonic clock.
MS: Final = 1_000

#: Bytes that an attempt has written to one stream and that are not yet durable, before its next write waits; bytes and
#: chunks of one append, well inside the store's limits (3 MiB, 1,000 chunks).
STREAM_BUFFER_BYTES_MAX: Final = 1024 * 1024
STREAM_SEND_BYTES_MAX: Final = 512 * 1024
STREAM_SEND_CHUNKS_MAX: Final = 500

#: Seconds that a cancelled body's last items get to become durable.
STREAM_GRACE_SECONDS: Final = 1.0
