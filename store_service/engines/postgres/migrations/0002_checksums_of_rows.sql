-- Checksums of what is in no log (store_service/checksum.py). Rows of before keep none and are taken as they are, and so
-- are those that a replica of before writes while it still runs.
ALTER TABLE messages ADD COLUMN checksum BYTEA NOT NULL DEFAULT '';
ALTER TABLE chunks ADD COLUMN checksum BYTEA NOT NULL DEFAULT '';
ALTER TABLE requests ADD COLUMN checksum BYTEA NOT NULL DEFAULT '';
