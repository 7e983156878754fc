-- The time of the run beside each of its attributes, filled in by 0004: distributed databases do not write to a column in
-- the transaction that adds it.
ALTER TABLE attributes ADD COLUMN create_ms BIGINT NOT NULL DEFAULT 0;
