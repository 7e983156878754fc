"""Every SQL statement about byte streams, by name.

Owns the text. A stream is under the lock of its run, like everything that is the run's; its writers and chunks are
keyed by its number.
"""

from __future__ import annotations

from typing import Final

from store_service.engines.postgres import rows
from store_service.engines.postgres.rows import marks

STREAM: Final = f"SELECT {rows.STREAM} FROM streams WHERE run_id = %s AND name = %s"

STREAMS: Final = f"SELECT {rows.STREAM} FROM streams WHERE run_id = %s AND name > %s ORDER BY name LIMIT %s"

COUNT_STREAMS: Final = "SELECT count(*) FROM streams WHERE run_id = %s"

INSERT_STREAM: Final = f"INSERT INTO streams ({rows.STREAM}) VALUES ({marks(rows.STREAM)})"

PUT_STREAM: Final = """
UPDATE streams SET content_type = %s, next_index = %s, size_bytes = %s, is_closed = %s, closer_run_id = %s,
  closer_step_id = %s, closer_attempt = %s, update_ms = %s
WHERE run_id = %s AND name = %s
"""

WRITER: Final = f"""
SELECT {rows.WRITER} FROM stream_writers
WHERE stream = %s AND writer_id = %s AND step_run_id = %s AND step_id = %s AND attempt = %s
"""

LATEST_ATTEMPTS: Final = """
SELECT step_run_id, step_id, max(attempt) FROM stream_writers
WHERE stream = %s AND step_id <> '' AND first_index < %s
GROUP BY step_run_id, step_id ORDER BY step_run_id, step_id
"""

INSERT_WRITER: Final = f"INSERT INTO stream_writers ({rows.WRITER}) VALUES ({marks(rows.WRITER)})"

PUT_WRITER: Final = """
UPDATE stream_writers SET next_chunk = %s
WHERE stream = %s AND step_run_id = %s AND step_id = %s AND attempt = %s AND writer_id = %s
"""

#: Sizes first: what lies beyond the bytes that are asked for is never read.
CHUNK_SIZES: Final = """
SELECT "index", octet_length(data) FROM chunks WHERE stream = %s AND "index" >= %s ORDER BY "index" LIMIT %s
"""

CHUNKS: Final = """
SELECT chunks."index", w.step_run_id, w.step_id, w.attempt, chunks.data
FROM chunks JOIN stream_writers AS w ON w.stream = chunks.stream AND w.number = chunks.writer
WHERE chunks.stream = %s AND chunks."index" BETWEEN %s AND %s ORDER BY chunks."index"
"""

INSERT_CHUNK: Final = 'INSERT INTO chunks (stream, "index", writer, data) VALUES (%s, %s, %s, %s)'

DELETE_CHUNKS_OF_RUN: Final = "DELETE FROM chunks WHERE stream IN (SELECT number FROM streams WHERE run_id = %s)"

DELETE_WRITERS_OF_RUN: Final = (
    "DELETE FROM stream_writers WHERE stream IN (SELECT number FROM streams WHERE run_id = %s)"
)

DELETE_STREAMS_OF_RUN: Final = "DELETE FROM streams WHERE run_id = %s"
