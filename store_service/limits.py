"""Every limit of the store, with its unit and its reason. `GetStoreInfo` shows the ones that clients meet.

A limit that is reached is a refusal with its own reason (TOO_LARGE, QUOTA_EXCEEDED, THROTTLED), never a silent cut.
"""

from __future__ import annotations

from typing import Final

#: Bytes of one payload body: half of gRPC's default 4 MiB message, so that one always fits with its event.
PAYLOAD_BYTES_MAX: Final = 2 * 1024 * 1024

#: Events of one CreateEvents: a fan-out of a hundred steps with its starts, several times over.
BATCH_EVENTS_MAX: Final = 1_000

#: Bytes of all payloads of one batch; together with the payload limit it keeps a request below 4 MiB.
BATCH_BYTES_MAX: Final = 3 * 1024 * 1024

#: Events of one run. Beyond it a run should continue as a new one: replay reads them all.
RUN_EVENTS_MAX: Final = 100_000

#: Events of a run beyond that, for a run that is full to be cancelled in good order: the request to cancel, what its
#: cleanup writes, and the results of steps that were running. The event that ends a run always fits.
RUN_EVENTS_RESERVED: Final = 1_000

#: Messages of one create or EnqueueBatch, receipts of one call.
BATCH_MESSAGES_MAX: Final = 500

#: Runs of one DeleteRuns.
DELETE_RUNS_MAX: Final = 500

#: Characters of names, tokens and reasons.
WORKFLOW_NAME_CHARS_MAX: Final = 256
TOKEN_CHARS_MAX: Final = 512
REASON_CHARS_MAX: Final = 512
REQUEST_ID_CHARS_MAX: Final = 128
IDEMPOTENCY_KEY_CHARS_MAX: Final = 256
GROUP_CHARS_MAX: Final = 256
WRITER_CHARS_MAX: Final = 256
VERSION_CHARS_MAX: Final = 128

#: Searchable attributes of a run: count, characters of a key, bytes of a value.
ATTRIBUTES_MAX: Final = 64
ATTRIBUTE_KEY_CHARS_MAX: Final = 256
ATTRIBUTE_VALUE_BYTES_MAX: Final = 256

#: Milliseconds: longest lease, default lease, longest long poll.
LEASE_MS_MAX: Final = 3_600_000
LEASE_MS_DEFAULT: Final = 30_000
RECEIVE_WAIT_MS_MAX: Final = 60_000

#: Messages of one ReceiveMessages, credit of one consumer stream.
RECEIVE_MESSAGES_MAX: Final = 100
CONSUME_CREDIT_MAX: Final = 10_000

#: Deliveries before a message becomes a dead letter, when the sender names no number.
MAX_DELIVERIES_DEFAULT: Final = 20

#: Milliseconds that request ids and settled receipts are remembered: a day of retries.
REQUEST_ID_WINDOW_MS: Final = 24 * 3_600_000

#: Bytes of a whole status: larger gRPC trailers are dropped at random by default clients.
STATUS_BYTES_MAX: Final = 4 * 1024

#: Bytes of `interleaved` in an answer: it shares one 4 MiB message with the caller's own events.
INTERLEAVED_BYTES_MAX: Final = 512 * 1024

#: Rows of a page: default of lists, default of ListEvents, cap; and bytes after which a page ends early.
PAGE_SIZE_DEFAULT: Final = 50
EVENTS_PAGE_SIZE_DEFAULT: Final = 100
PAGE_SIZE_MAX: Final = 1_000
PAGE_BYTES_MAX: Final = 1024 * 1024

#: Milliseconds between two messages of a silent watch: default, least, most.
PROGRESS_MS_DEFAULT: Final = 15_000
PROGRESS_MS_MIN: Final = 1_000
PROGRESS_MS_MAX: Final = 60_000

#: Watches, consumers, readers and writers of byte streams open at once; beyond it THROTTLED.
STREAMS_MAX: Final = 10_000

#: Calls of one session without an answer; beyond it the session is not read on until some are answered.
SESSION_CALLS_MAX: Final = 1_000

#: Bytes that the messages of all open watches and readers take together, about, and that one has in any case. A reader
#: that does not read keeps what it was given last; so the more of them there are, the less each is given at once.
STREAMS_BYTES_MAX: Final = 16 * 1024 * 1024
STREAM_SHARE_BYTES_MIN: Final = 8 * 1024

#: Units of work that may wait for the database; beyond it THROTTLED.
PENDING_WRITES_MAX: Final = 10_000

#: Seconds that a draining server gives its open calls.
DRAIN_SECONDS: Final = 10.0

#: Bytes of one chunk of a byte stream, and of all chunks of one append: they fit into gRPC's default 4 MiB message.
CHUNK_BYTES_MAX: Final = 1024 * 1024
APPEND_BYTES_MAX: Final = 3 * 1024 * 1024

#: Chunks of one append: bounds the time that other writes wait.
APPEND_CHUNKS_MAX: Final = 1_000

#: Chunks and bytes of one stream, streams of one run: beyond it the data belongs into a store of files.
STREAM_CHUNKS_MAX: Final = 1_000_000
STREAM_BYTES_MAX: Final = 1024 * 1024 * 1024
RUN_STREAMS_MAX: Final = 1_000

#: Characters of a media type and of a writer's id.
CONTENT_TYPE_CHARS_MAX: Final = 128
WRITER_ID_CHARS_MAX: Final = 512

#: Chunks read at once for a reader.
READ_CHUNKS_MAX: Final = 512

#: Bytes that one WriteStream has sent and that are not yet durable, before the server stops reading on.
WRITE_BUFFER_BYTES_MAX: Final = 4 * 1024 * 1024
