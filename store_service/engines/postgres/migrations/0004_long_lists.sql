-- Lists over very many runs. Each filter is a range of an index that is sorted as the pages are, so that a page costs the
-- same whatever lies before it: attributes carry the time of their run, a workflow and a parent are split by status.
UPDATE attributes SET create_ms = runs.create_ms FROM runs WHERE runs.run_id = attributes.run_id;

CREATE INDEX attributes_by_time     ON attributes (key, value, create_ms, run_id);
CREATE INDEX runs_by_workflow_state ON runs (workflow_name, status, create_ms, run_id);
CREATE INDEX runs_by_parent_state   ON runs (parent_run_id, status, create_ms, run_id) WHERE parent_run_id <> '';

DROP INDEX attributes_by_value;
DROP INDEX runs_by_workflow;
DROP INDEX runs_by_parent;
