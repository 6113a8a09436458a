-- Times are microseconds since 1970 in UTC. The namespace leads every key.
-- Columns of a fixed width stand first, the widest before the others: nothing is lost to padding.
-- CHECK constraints forbid rows that no decision of the engine can produce. Those of the rows that are written with each
-- commit are functions: the text of a constraint is parsed anew for each statement, which took a third of its time, a
-- function is compiled once for a connection. A semicolon at the end of a line ends a statement.
-- No other index begins with (namespace, ..., id): a generic plan would choose it and walk all of a namespace.

CREATE TABLE phaseline_migration (
    version integer PRIMARY KEY,
    applied_at timestamptz NOT NULL
);

CREATE FUNCTION phaseline_run_is_possible(
    revision bigint, seq bigint, epoch bigint, priority bigint, signals bigint, ended_at bigint, timeout bigint,
    deadline bigint, active_ms bigint, active_since bigint, expires_at bigint, state text, key text, marks text, error text,
    letter bigint, undo_after bigint, of_parent integer
) RETURNS boolean LANGUAGE plpgsql IMMUTABLE AS $$ BEGIN RETURN
    revision > 0 AND seq >= 0 AND epoch >= 0 AND priority BETWEEN 0 AND 999 AND signals >= 0 AND active_ms >= 0
    AND (active_since IS NULL OR timeout IS NOT NULL)
    AND (expires_at IS NULL OR ended_at IS NULL AND (timeout IS NOT NULL OR deadline IS NOT NULL))
    AND (key <> '') IS NOT FALSE
    AND (marks <> '') IS NOT FALSE
    AND (error IS NOT NULL) = (state = 'FAILED')
    AND (letter IS NULL OR state = 'FAILED')
    AND (undo_after >= 0) IS NOT FALSE
    AND of_parent IN (0, 3)
    AND CASE WHEN undo_after IS NULL THEN state <> 'ROLLING_BACK' ELSE state IN ('ROLLING_BACK', 'FAILED') END
    AND (ended_at IS NOT NULL) = (state IN ('COMPLETED', 'FAILED', 'CANCELLED', 'ROLLED_BACK'))
; END $$;

CREATE TABLE phaseline_pipeline_run (
    revision bigint NOT NULL,
    seq bigint NOT NULL,
    epoch bigint NOT NULL,
    priority bigint NOT NULL,
    signals bigint NOT NULL,
    created_at bigint NOT NULL,
    updated_at bigint NOT NULL,
    started_at bigint,
    ended_at bigint,
    timeout bigint, -- how long it may be active
    deadline bigint,
    active_ms bigint NOT NULL,
    active_since bigint,
    parent_generation bigint,
    expires_at bigint, -- when it fails, by its deadline or by its timeout
    sla_at bigint, -- when it should be over, by its service level
    breached bigint, -- number of the event that tells that it was not
    letter bigint, -- number of the event that tells of its dead letter, as long as there is one
    undo_after bigint, -- number of the last event whose phase a rollback keeps that is unfinished
    while_open boolean NOT NULL,
    namespace text COLLATE "C" NOT NULL,
    id text COLLATE "C" NOT NULL,
    pipeline text NOT NULL,
    version text NOT NULL,
    fingerprint text NOT NULL,
    state text NOT NULL,
    key text,
    marks text COLLATE "C", -- tags and attributes, one a line
    -- Null until the run ends: an index on the state itself would be written with every commit.
    outcome text COLLATE "C" GENERATED ALWAYS AS (CASE WHEN ended_at IS NOT NULL THEN state END) STORED,
    limits text, -- that each of its phases is under, a line each
    forked_from text, -- id of the run that it is a copy of
    error text,
    spending text, -- what was used, and is reserved: an object of sums and their parts
    parent_id text COLLATE "C", -- the run that started it
    parent_path text, -- the phase there that waits for it
    trace text, -- trace context of who started it
    input text NOT NULL,
    CHECK (phaseline_run_is_possible(
        revision, seq, epoch, priority, signals, ended_at, timeout, deadline, active_ms, active_since, expires_at, state, key,
        marks, error, letter, undo_after, num_nulls(parent_id, parent_path, parent_generation)
    )),
    PRIMARY KEY (namespace, id)
) WITH (fillfactor = 70);

-- A key stands for one run: for ever, or until the run ends.
CREATE UNIQUE INDEX pipeline_run_key ON phaseline_pipeline_run (namespace, pipeline, key)
    WHERE key IS NOT NULL AND (NOT while_open OR ended_at IS NULL);

-- Runs by how they stand: those that go on, and those that have ended, each in the order of their creation. Partial, and
-- so no choice for a plan that looks a run up.
CREATE INDEX pipeline_run_open ON phaseline_pipeline_run (namespace, id) WHERE ended_at IS NULL;

CREATE INDEX pipeline_run_ended ON phaseline_pipeline_run (namespace, outcome, id) WHERE outcome IS NOT NULL;

-- Those whose time ends; runs without a timeout and a deadline write nothing here.
CREATE INDEX pipeline_run_expiry ON phaseline_pipeline_run (namespace, expires_at) WHERE expires_at IS NOT NULL;

-- Those that should be over at a time, and of which nothing is told; runs, and below phases, without a service level write nothing here.
CREATE INDEX pipeline_run_level ON phaseline_pipeline_run (namespace, sla_at)
    WHERE sla_at IS NOT NULL AND breached IS NULL AND ended_at IS NULL;

-- Runs by the one that started them; those that none did write nothing here.
CREATE INDEX pipeline_run_parent ON phaseline_pipeline_run (namespace, parent_id, id) WHERE parent_id IS NOT NULL;

-- Copies by the run that they are one of; runs that are none write nothing here.
CREATE INDEX pipeline_run_forked ON phaseline_pipeline_run (namespace, forked_from, id) WHERE forked_from IS NOT NULL;

-- Runs by tag and attribute; those that have none write nothing here.
CREATE TABLE phaseline_run_mark (
    namespace text COLLATE "C" NOT NULL,
    mark text COLLATE "C" NOT NULL,
    run_id text COLLATE "C" NOT NULL,
    PRIMARY KEY (namespace, mark, run_id)
);

CREATE FUNCTION phaseline_phase_is_possible(
    epoch integer, state text, worker text, lease_expires bigint, lane text, wait_kind text, wait_key text, due_at bigint,
    ended_at bigint, error text, decided integer, gone_in_epoch integer, live boolean, has_output boolean, same_as text,
    path text
) RETURNS boolean LANGUAGE plpgsql IMMUTABLE AS $$ BEGIN RETURN
    epoch >= 0
    AND state IN ('PENDING', 'RUNNING', 'COMPLETED', 'FAILED', 'SKIPPED', 'RETRYING')
    AND (worker IS NULL) = (lease_expires IS NULL)
    AND (worker IS NULL OR state = 'RUNNING')
    AND (lane IS NULL OR state IN ('PENDING', 'RETRYING'))
    AND (wait_kind IS NULL OR wait_kind IN ('signal', 'timer', 'child') AND worker IS NULL AND state NOT IN ('PENDING', 'RETRYING'))
    AND (wait_key IS NULL OR wait_key <> '' AND (wait_kind IN ('signal', 'child')) IS NOT FALSE)
    AND (wait_kind = 'child' AND wait_key IS NULL) IS NOT TRUE
    AND (due_at IS NULL OR wait_kind IS NOT NULL)
    AND (wait_kind = 'timer' AND due_at IS NULL) IS NOT TRUE
    AND (ended_at IS NOT NULL) = (state IN ('COMPLETED', 'FAILED', 'SKIPPED'))
    AND (state <> 'FAILED' OR error IS NOT NULL)
    AND (decided IS NULL OR ended_at IS NOT NULL)
    AND (state <> 'COMPLETED' OR decided IS NOT NULL)
    AND (gone_in_epoch IS NULL OR ended_at IS NOT NULL AND gone_in_epoch > epoch)
    AND (NOT has_output OR live IS NOT FALSE)
    AND (same_as IS NULL OR NOT has_output AND live IS NOT FALSE AND same_as <> path)
; END $$;

CREATE TABLE phaseline_phase_execution (
    available_at bigint NOT NULL,
    lease_expires bigint,
    due_at bigint,
    first_started_at bigint,
    started_at bigint,
    ended_at bigint,
    sla_at bigint, -- when it should be over, by its service level
    epoch integer NOT NULL,
    position integer NOT NULL,
    generation integer NOT NULL,
    priority integer NOT NULL,
    attempt integer NOT NULL,
    failures integer NOT NULL,
    crashes integer NOT NULL,
    postponed integer NOT NULL,
    fence integer NOT NULL,
    revision integer NOT NULL, -- of the run, when this row was last written
    length integer,
    total integer,
    decided integer, -- number of the event by which it came to what it stays
    gone_in_epoch integer, -- of the run, which does without it from then on
    breached integer, -- number of the event that tells that it was not over by then
    live boolean,
    namespace text COLLATE "C" NOT NULL,
    run_id text COLLATE "C" NOT NULL,
    path text COLLATE "C" NOT NULL,
    state text NOT NULL,
    queue text NOT NULL,
    lane text COLLATE "C", -- where it waits for a worker, by definition, priority, queue and limits. NULL: for none
    limits text, -- while it has a worker it holds a slot of each
    reason text NOT NULL,
    worker text,
    same_as text, -- the path whose row holds the output, if this phase was given it ('' for the run's input)
    error text,
    progress text,
    wait_kind text,
    wait_key text,
    output text,
    CHECK (phaseline_phase_is_possible(
        epoch, state, worker, lease_expires, lane, wait_kind, wait_key, due_at, ended_at, error, decided, gone_in_epoch, live,
        output IS NOT NULL, same_as, path
    )),
    PRIMARY KEY (namespace, run_id, path, epoch)
);

CREATE INDEX phase_claim ON phaseline_phase_execution (namespace, lane, available_at, run_id, path)
    WHERE lane IS NOT NULL;

CREATE INDEX phase_level ON phaseline_phase_execution (namespace, sla_at)
    WHERE sla_at IS NOT NULL AND breached IS NULL AND ended_at IS NULL;

CREATE INDEX phase_wait ON phaseline_phase_execution (namespace, due_at)
    WHERE state = 'RUNNING' AND due_at IS NOT NULL;

CREATE INDEX phase_lease ON phaseline_phase_execution (namespace, worker, lease_expires)
    WHERE worker IS NOT NULL;

CREATE TABLE phaseline_checkpoint (
    seq bigint NOT NULL, -- of the event that tells of it
    revision bigint NOT NULL,
    epoch bigint NOT NULL,
    gone_in_epoch bigint, -- of the run, which does without it from then on
    created_at bigint NOT NULL,
    namespace text COLLATE "C" NOT NULL,
    run_id text COLLATE "C" NOT NULL,
    id text COLLATE "C" NOT NULL,
    phase text NOT NULL,
    PRIMARY KEY (namespace, run_id, seq)
);

CREATE TABLE phaseline_event (
    at bigint NOT NULL,
    commit_id bigint NOT NULL, -- random, equal for the events of one commit
    seq integer NOT NULL CHECK (seq > 0),
    namespace text COLLATE "C" NOT NULL,
    run_id text COLLATE "C" NOT NULL,
    type text NOT NULL,
    data text NOT NULL,
    phase text,
    source text,
    target text,
    CHECK ((source IS NULL) = (target IS NULL)),
    PRIMARY KEY (namespace, run_id, seq)
);

CREATE TABLE phaseline_step_result (
    generation bigint NOT NULL,
    namespace text COLLATE "C" NOT NULL,
    run_id text COLLATE "C" NOT NULL,
    path text COLLATE "C" NOT NULL,
    key text NOT NULL,
    result text NOT NULL,
    PRIMARY KEY (namespace, run_id, path, generation, key)
);

CREATE TABLE phaseline_signal (
    seq bigint NOT NULL, -- of the event that tells of it
    received_at bigint NOT NULL,
    revision bigint NOT NULL, -- of the run, when this row was last written
    namespace text COLLATE "C" NOT NULL,
    run_id text COLLATE "C" NOT NULL,
    name text NOT NULL,
    key text CHECK (key <> ''),
    id text COLLATE "C",
    value text, -- until it is taken: then it is the output of the phase that took it
    taken_by text,
    CHECK ((value IS NULL) = (taken_by IS NOT NULL)),
    PRIMARY KEY (namespace, run_id, seq)
);

-- A signal that is sent twice under one id is received once.
CREATE UNIQUE INDEX signal_id ON phaseline_signal (namespace, run_id, id) WHERE id IS NOT NULL;

-- What is known of a failure, until somebody sees to it.
CREATE TABLE phaseline_dead_letter (
    seq bigint NOT NULL, -- of the event that tells of it
    attempts integer NOT NULL,
    crashes integer NOT NULL,
    at bigint NOT NULL,
    namespace text COLLATE "C" NOT NULL,
    run_id text COLLATE "C" NOT NULL,
    pipeline text NOT NULL,
    phase text,
    category text NOT NULL,
    error text NOT NULL,
    input text, -- the path under which what the phase was given is stored
    PRIMARY KEY (namespace, run_id, seq)
);

CREATE INDEX dead_letter_at ON phaseline_dead_letter (namespace, at, run_id);

-- What runs have told each other, until it was heard.
CREATE TABLE phaseline_message (
    seq bigint NOT NULL, -- of the newest event of who wrote it
    namespace text COLLATE "C" NOT NULL,
    sender text COLLATE "C" NOT NULL,
    run_id text COLLATE "C" NOT NULL,
    kind text COLLATE "C" NOT NULL CHECK (kind IN ('ended', 'closed', 'again')),
    PRIMARY KEY (namespace, sender, seq, run_id, kind)
);

CREATE TABLE phaseline_worker (
    namespace text COLLATE "C" NOT NULL,
    id text COLLATE "C" NOT NULL,
    host text NOT NULL,
    pid bigint NOT NULL,
    process_started text NOT NULL,
    seen_at bigint NOT NULL,
    PRIMARY KEY (namespace, id)
);

-- Phases under rates that were started, those of one moment together, for as long as they count.
CREATE TABLE phaseline_rate_start (
    at bigint NOT NULL,
    until bigint NOT NULL,
    starts bigint NOT NULL CHECK (starts > 0),
    namespace text COLLATE "C" NOT NULL,
    name text COLLATE "C" NOT NULL, -- of the rate
    PRIMARY KEY (namespace, name, at)
);

CREATE INDEX rate_start_until ON phaseline_rate_start (namespace, until);

-- Runs that begin by themselves, at the slots of a rule.
CREATE TABLE phaseline_schedule (
    every bigint CHECK (every > 0), -- distance of slots
    next_at bigint, -- the first slot of which nothing is decided yet
    last_slot bigint,
    created_at bigint NOT NULL,
    updated_at bigint NOT NULL,
    revision integer NOT NULL CHECK (revision > 0),
    priority integer NOT NULL CHECK (priority BETWEEN 0 AND 999),
    paused boolean NOT NULL,
    namespace text COLLATE "C" NOT NULL,
    name text COLLATE "C" NOT NULL,
    pipeline text NOT NULL,
    version text NOT NULL,
    cron text,
    zone text NOT NULL,
    input text, -- NULL: each run takes its slot
    overlap text NOT NULL CHECK (overlap IN ('skip', 'allow', 'queue')),
    catch_up text NOT NULL CHECK (catch_up IN ('latest', 'all', 'none')),
    marks text NOT NULL,
    CHECK ((cron IS NULL) <> (every IS NULL)),
    CHECK (NOT paused OR next_at IS NULL),
    PRIMARY KEY (namespace, name)
);

CREATE INDEX schedule_due ON phaseline_schedule (namespace, next_at) WHERE next_at IS NOT NULL
