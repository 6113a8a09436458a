-- Runs of schedules that go on: each slot asks whether there is one. Marks are a line each, and those few others that hold the text do
-- no harm. No LIKE: scripts are also run by what takes a per cent sign for the place of a value.
CREATE INDEX phaseline_run_scheduled ON phaseline_pipeline_run (namespace, id)
    WHERE ended_at IS NULL AND replace(marks, 'schedule=', '') <> marks;

DROP INDEX phaseline_run_open;

CREATE INDEX phaseline_run_open ON phaseline_pipeline_run (namespace, id, ended_at) -- with which it covers what counts
    WHERE ended_at IS NULL
