-- Runs of schedules that go on: each slot asks whether there is one. Marks are a line each, and those few others that hold the text do
-- no harm. No LIKE: scripts are also run by what takes a per cent sign for the place of a value.
CREATE INDEX pipeline_run_scheduled ON phaseline_pipeline_run (namespace, id)
    WHERE ended_at IS NULL AND replace(marks, 'schedule=', '') <> marks
