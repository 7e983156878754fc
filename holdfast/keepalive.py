"""How a connection that hangs is noticed: the options of every channel and every server of holdfast.

A peer that lost its power, or a switch that forgot the connection, tells nobody. Each side asks after five seconds of
silence and takes ten more without an answer for the end: 15 seconds together, at either end. Proof:
`tests/network/test_half_open.py`.
"""

from __future__ import annotations

from typing import Final

#: Milliseconds of silence before a ping, and without its answer before the connection is closed. The second is the
#: longer one, for a ping waits behind the large message that a slow line is busy with.
_SILENCE_MS: Final = 5_000
_ANSWER_MS: Final = 10_000

#: For channels and servers alike. ``keepalive_timeout_ms`` alone does nothing as long as gRPC's own ping timeout, a
#: minute when it is not set, has not passed.
KEEPALIVE: Final = (
    ("grpc.keepalive_time_ms", _SILENCE_MS),
    ("grpc.keepalive_timeout_ms", _ANSWER_MS),
    ("grpc.http2.ping_timeout_ms", _ANSWER_MS),
    ("grpc.http2.max_pings_without_data", 0),
)

#: For channels: a connection that was lost is tried again every second at least. An attempt that nothing comes of, its
#: packets were dropped, is given up after five: it would outlive the trouble that it fell into.
RECONNECT: Final = (
    ("grpc.min_reconnect_backoff_ms", 5_000),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 1_000),
)
