"""Every SQL statement about byte streams, by name.

Owns the text and the order of the columns of its three tables. Like ``statements.py``, each goes through an index:
``tests/conformance/test_sqlite_plans.py`` explains these too.
"""

from __future__ import annotations

from typing import Final

from store_service.engines.sqlite.rows import columns

STREAM_UNNUMBERED: Final = (
    "run_id, name, content_type, next_index, size_bytes, is_closed, closer_run_id, closer_step_id, closer_attempt, "
    "create_ms, update_ms"
)
WRITER_UNNUMBERED: Final = "stream, writer_id, step_run_id, step_id, attempt, next_chunk, first_index"

stream_parameters: Final = columns(STREAM_UNNUMBERED)
writer_parameters: Final = columns(WRITER_UNNUMBERED)

STREAM: Final = f"SELECT number, {STREAM_UNNUMBERED} FROM streams WHERE run_id = ? AND name = ?"

STREAMS: Final = f"""
SELECT number, {STREAM_UNNUMBERED} FROM streams WHERE run_id = ? AND name > ? ORDER BY name LIMIT ?
"""

COUNT_STREAMS: Final = "SELECT count(*) FROM streams WHERE run_id = ?"

INSERT_STREAM: Final = f"INSERT INTO streams ({STREAM_UNNUMBERED}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"

PUT_STREAM: Final = """
UPDATE streams SET content_type = ?, next_index = ?, size_bytes = ?, is_closed = ?, closer_run_id = ?,
  closer_step_id = ?, closer_attempt = ?, update_ms = ?
WHERE number = ?
"""
put_stream_parameters: Final = columns(
    "content_type, next_index, size_bytes, is_closed, closer_run_id, closer_step_id, closer_attempt, update_ms, number"
)

WRITER: Final = f"""
SELECT number, {WRITER_UNNUMBERED} FROM stream_writers
WHERE stream = ? AND writer_id = ? AND step_run_id = ? AND step_id = ? AND attempt = ?
"""

LATEST_ATTEMPTS: Final = """
SELECT step_run_id, step_id, max(attempt) FROM stream_writers
WHERE stream = ? AND step_id <> '' AND first_index < ? GROUP BY step_run_id, step_id
"""

INSERT_WRITER: Final = f"INSERT INTO stream_writers ({WRITER_UNNUMBERED}) VALUES (?, ?, ?, ?, ?, ?, ?)"

PUT_WRITER: Final = "UPDATE stream_writers SET next_chunk = ? WHERE number = ?"

CHUNKS: Final = """
SELECT chunks."index", w.step_run_id, w.step_id, w.attempt, chunks.data
FROM chunks JOIN stream_writers AS w ON w.number = chunks.writer
WHERE chunks.stream = ? AND chunks."index" >= ? ORDER BY chunks."index" LIMIT ?
"""

INSERT_CHUNK: Final = 'INSERT INTO chunks (stream, "index", writer, data) VALUES (?, ?, ?, ?)'

DELETE_CHUNKS_OF_RUN: Final = "DELETE FROM chunks WHERE stream IN (SELECT number FROM streams WHERE run_id = ?)"

DELETE_WRITERS_OF_RUN: Final = (
    "DELETE FROM stream_writers WHERE stream IN (SELECT number FROM streams WHERE run_id = ?)"
)

DELETE_STREAMS_OF_RUN: Final = "DELETE FROM streams WHERE run_id = ?"
