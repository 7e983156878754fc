"""The limits of the HTTP port, with unit and reason."""

from __future__ import annotations

from typing import Final

#: Bytes of a request's body: in base64, with its headers, it stays under the largest value that the store takes.
BODY_BYTES_MAX: Final = 1024 * 1024

#: Bytes of a body that is too large, up to which it is read to its end before the sender is told.
DROPPED_BYTES_MAX: Final = 8 * 1024 * 1024

#: Seconds that a sender waits for the answer of a step; most senders give up at 30.
MANUAL_SECONDS: Final = 30.0

#: Senders that wait at the same time. Each holds a connection and a little memory.
WAITING_MAX: Final = 1_000

#: Connections at the same time; more are told 503.
CONNECTIONS_MAX: Final = 2_000

#: Seconds that a probe waits for the store.
PROBE_SECONDS: Final = 2.0

#: Seconds that answers on their way get when the port closes.
CLOSE_SECONDS: Final = 2

#: Seconds after which a sender may try again.
RETRY_AFTER_SECONDS: Final = 1
