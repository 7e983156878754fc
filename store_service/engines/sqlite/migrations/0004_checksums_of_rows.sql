-- Checksums of what is in no log (store_service/checksum.py). Rows of before keep none and are taken as they are.
ALTER TABLE messages ADD COLUMN checksum BLOB NOT NULL DEFAULT x'';
ALTER TABLE chunks ADD COLUMN checksum BLOB NOT NULL DEFAULT x'';
ALTER TABLE requests ADD COLUMN checksum BLOB NOT NULL DEFAULT x'';
