-- Lists over very many runs. Each filter is a range of an index that is sorted as the pages are, so that a page costs the
-- same whatever lies before it: attributes carry the time of their run, a workflow and a parent are split by status.
CREATE TABLE sorted_attributes (
  key       TEXT NOT NULL,
  value     TEXT NOT NULL,
  create_ms INTEGER NOT NULL,
  run_id    TEXT NOT NULL,
  PRIMARY KEY (key, value, create_ms, run_id)
) STRICT, WITHOUT ROWID;

INSERT INTO sorted_attributes (key, value, create_ms, run_id)
SELECT attributes.key, attributes.value, runs.create_ms, runs.run_id
FROM attributes JOIN runs ON runs.run_id = attributes.run_id;

DROP TABLE attributes;
ALTER TABLE sorted_attributes RENAME TO attributes;
CREATE INDEX attributes_by_run ON attributes (run_id);

DROP INDEX runs_by_workflow;
DROP INDEX runs_by_parent;
CREATE INDEX runs_by_workflow ON runs (workflow_name, status, create_ms, run_id);
CREATE INDEX runs_by_parent   ON runs (parent_run_id, status, create_ms, run_id) WHERE parent_run_id <> '';
