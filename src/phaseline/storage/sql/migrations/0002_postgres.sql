-- Runs of schedules that go on: each slot asks whether there is one. Marks are a line each, and those few others that hold the text do
-- no harm. No LIKE: scripts are also run by what takes a per cent sign for the place of a value.
CREATE INDEX pipeline_run_scheduled ON phaseline_pipeline_run (namespace, id)
    WHERE ended_at IS NULL AND replace(marks, 'schedule=', '') <> marks;

-- What is due in runs that are paused is not walked over at each look.
ALTER TABLE phaseline_phase_execution ADD COLUMN paused boolean;

UPDATE phaseline_phase_execution SET paused = true WHERE state = 'RUNNING' AND due_at IS NOT NULL AND EXISTS (
    SELECT 1 FROM phaseline_pipeline_run r WHERE r.namespace = phaseline_phase_execution.namespace
    AND r.id = phaseline_phase_execution.run_id AND r.state = 'PAUSED'
);

DROP INDEX phaseline_phase_wait;

CREATE INDEX phase_wait ON phaseline_phase_execution (namespace, due_at)
    WHERE state = 'RUNNING' AND due_at IS NOT NULL AND paused IS NULL
