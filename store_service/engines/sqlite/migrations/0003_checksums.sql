-- The checksum chain of each log (store_service/checksum.py); migration.py fills it in for events of before.
ALTER TABLE events ADD COLUMN checksum BLOB NOT NULL DEFAULT x'';
ALTER TABLE runs ADD COLUMN head_checksum BLOB NOT NULL DEFAULT x'';
