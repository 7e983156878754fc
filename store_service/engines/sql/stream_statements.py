"""The statements about byte streams that both engines say in the same words.

Owns the text, as SQLite says it (``statements.py`` tells why). Writers and chunks are keyed by the number of their
stream; who gives the number, and how far chunks are read at once, is each engine's own.
"""

from __future__ import annotations

from store_service.engines.sql import columns


class StreamStatements:
    """Texts about streams, in one order everywhere."""

    STREAM = f"SELECT {columns.STREAM} FROM streams WHERE run_id = ? AND name = ?"
    STREAMS = f"SELECT {columns.STREAM} FROM streams WHERE run_id = ? AND name > ? ORDER BY name LIMIT ?"
    COUNT_STREAMS = "SELECT count(*) FROM streams WHERE run_id = ?"
    WRITER = f"""
SELECT {columns.WRITER} FROM stream_writers
WHERE stream = ? AND writer_id = ? AND step_run_id = ? AND step_id = ? AND attempt = ?
"""
    LATEST_ATTEMPTS = """
SELECT step_run_id, step_id, max(attempt) FROM stream_writers
WHERE stream = ? AND step_id <> '' AND first_index < ?
GROUP BY step_run_id, step_id ORDER BY step_run_id, step_id
"""
    INSERT_CHUNK = 'INSERT INTO chunks (stream, "index", writer, data, checksum) VALUES (?, ?, ?, ?, ?)'
    DELETE_CHUNKS_OF_RUN = "DELETE FROM chunks WHERE stream IN (SELECT number FROM streams WHERE run_id = ?)"
    DELETE_WRITERS_OF_RUN = "DELETE FROM stream_writers WHERE stream IN (SELECT number FROM streams WHERE run_id = ?)"
    DELETE_STREAMS_OF_RUN = "DELETE FROM streams WHERE run_id = ?"
