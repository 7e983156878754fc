"""The PostgreSQL engine's own statements about byte streams; the rest is in ``engines/sql/stream_statements.py``.

Owns what depends on keys: a row is found by what it belongs to, so that it is found on every shard. A stream is under
the lock of its run, like everything that is the run's; its writers and chunks are keyed by its number.
"""

from __future__ import annotations

from typing import Final

from store_service.engines.postgres.statements import COMMON
from store_service.engines.sql import columns
from store_service.engines.sql.columns import marks, parameters

stream_parameters: Final = parameters(columns.STREAM)
writer_parameters: Final = parameters(columns.WRITER)

INSERT_STREAM: Final = f"""
INSERT INTO streams ({columns.STREAM}) VALUES ({COMMON.dialect.spell(marks(columns.STREAM))})
"""

PUT_STREAM: Final = """
UPDATE streams SET content_type = %s, next_index = %s, size_bytes = %s, is_closed = %s, closer_run_id = %s,
  closer_step_id = %s, closer_attempt = %s, update_ms = %s
WHERE run_id = %s AND name = %s
"""
put_stream_parameters: Final = parameters(f"{columns.CHANGED_STREAM}, run_id, name")

INSERT_WRITER: Final = f"""
INSERT INTO stream_writers ({columns.WRITER}) VALUES ({COMMON.dialect.spell(marks(columns.WRITER))})
"""

PUT_WRITER: Final = """
UPDATE stream_writers SET next_chunk = %s
WHERE stream = %s AND step_run_id = %s AND step_id = %s AND attempt = %s AND writer_id = %s
"""

#: Sizes first: what lies beyond the bytes that are asked for is never read.
CHUNK_SIZES: Final = """
SELECT "index", octet_length(data) FROM chunks WHERE stream = %s AND "index" >= %s ORDER BY "index" LIMIT %s
"""

CHUNKS: Final = """
SELECT chunks."index", w.step_run_id, w.step_id, w.attempt, chunks.data, chunks.checksum
FROM chunks JOIN stream_writers AS w ON w.stream = chunks.stream AND w.number = chunks.writer
WHERE chunks.stream = %s AND chunks."index" BETWEEN %s AND %s ORDER BY chunks."index"
"""
