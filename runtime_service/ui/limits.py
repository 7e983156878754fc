"""The limits of the pages, with unit and reason."""

from __future__ import annotations

from typing import Final

#: Runs on a page: each open one costs a few reads of the store to say what it waits for.
RUNS_PER_PAGE: Final = 25

#: Events on a page of a run, in its timeline and in its table. Beyond it the page is turned.
EVENTS_PER_PAGE: Final = 250

#: Bars' rows of a timeline; more are not read by anybody.
LANES_MAX: Final = 100

#: Characters of one value on a page.
VALUE_CHARS_MAX: Final = 4_000

#: Causes of causes that are shown of an error.
CAUSES_MAX: Final = 8

#: Child runs and streams that a page of a run shows.
CHILDREN_MAX: Final = 50
STREAMS_MAX: Final = 10

#: The end of a stream that is read, in chunks and bytes, and that is shown, in characters.
STREAM_CHUNKS_MAX: Final = 500
STREAM_BYTES_MAX: Final = 64 * 1024
STREAM_CHARS_MAX: Final = 8_000

#: Seconds that a page waits for the store: a person looks at it.
READ_SECONDS: Final = 5.0

#: Pages that follow something at the same time. Each holds a connection and a watch of the store.
FOLLOWERS_MAX: Final = 50

#: Seconds of silence after which a page that follows is told that it is still connected. The credentials are looked at
#: again as often, and new streams are looked for.
HEARTBEAT_SECONDS: Final = 2

#: Milliseconds after which a browser connects again.
RECONNECT_MS: Final = 1_000

#: Seconds between two tries of a watch whose store is away.
WATCH_PAUSE_SECONDS: Final = 0.2

#: Milliseconds that a page rests between two readings of itself: a run, the list of runs.
RUN_REST_MS: Final = 300
LIST_REST_MS: Final = 1_500
