-- Times are microseconds since 1970 in UTC. The namespace leads every key.
-- CHECK constraints forbid rows that no decision of the engine can produce.

CREATE TABLE phaseline_migration (
    version INTEGER PRIMARY KEY,
    applied_at TEXT NOT NULL
);

CREATE TABLE phaseline_pipeline_run (
    namespace TEXT NOT NULL,
    id TEXT NOT NULL,
    pipeline TEXT NOT NULL,
    version TEXT NOT NULL,
    fingerprint TEXT NOT NULL,
    state TEXT NOT NULL,
    revision INTEGER NOT NULL CHECK (revision > 0),
    seq INTEGER NOT NULL CHECK (seq >= 0),
    epoch INTEGER NOT NULL CHECK (epoch >= 0),
    priority INTEGER NOT NULL CHECK (priority BETWEEN 0 AND 999),
    key TEXT CHECK (key <> ''),
    while_open INTEGER NOT NULL,
    signals INTEGER NOT NULL CHECK (signals >= 0),
    timeout INTEGER, -- how long it may be active
    deadline INTEGER,
    active_ms INTEGER NOT NULL CHECK (active_ms >= 0),
    active_since INTEGER,
    expires_at INTEGER, -- when it fails, by its deadline or by its timeout
    sla_at INTEGER, -- when it should be over, by its service level
    breached INTEGER, -- number of the event that tells that it was not
    letter INTEGER, -- number of the event that tells of its dead letter, as long as there is one
    marks TEXT CHECK (marks <> ''), -- tags and attributes, one a line
    limits TEXT, -- that each of its phases is under, a line each
    forked_from TEXT, -- id of the run that it is a copy of
    parent_id TEXT, -- the run that started it
    parent_path TEXT, -- the phase there that waits for it
    parent_generation INTEGER,
    trace TEXT, -- trace context of who started it
    error TEXT,
    spending TEXT, -- what was used, and is reserved: an object of sums and their parts
    undo_after INTEGER CHECK (undo_after >= 0), -- number of the last event whose phase a rollback keeps that is unfinished
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    started_at INTEGER,
    ended_at INTEGER,
    input TEXT NOT NULL, -- the last column: it may be long, and to read one behind it SQLite would walk all of it
    CHECK ((error IS NOT NULL) = (state = 'FAILED')),
    CHECK (CASE WHEN undo_after IS NULL THEN state <> 'ROLLING_BACK' ELSE state IN ('ROLLING_BACK', 'FAILED') END),
    CHECK ((ended_at IS NOT NULL) = (state IN ('COMPLETED', 'FAILED', 'CANCELLED', 'ROLLED_BACK'))),
    CHECK (letter IS NULL OR state = 'FAILED'),
    CHECK (active_since IS NULL OR timeout IS NOT NULL),
    CHECK (expires_at IS NULL OR (ended_at IS NULL AND (timeout IS NOT NULL OR deadline IS NOT NULL))),
    CHECK ((parent_id IS NULL) = (parent_path IS NULL)),
    CHECK ((parent_id IS NULL) = (parent_generation IS NULL)),
    PRIMARY KEY (namespace, id)
) WITHOUT ROWID;

-- A key stands for one run: for ever, or until the run ends.
CREATE UNIQUE INDEX phaseline_run_key ON phaseline_pipeline_run (namespace, pipeline, key)
    WHERE key IS NOT NULL AND (NOT while_open OR ended_at IS NULL);

-- Runs by how they stand: those that go on, and those that have ended, each in the order of their creation.
CREATE INDEX phaseline_run_open ON phaseline_pipeline_run (namespace, id) WHERE ended_at IS NULL;

CREATE INDEX phaseline_run_ended ON phaseline_pipeline_run (namespace, state, id, ended_at) -- with which it covers what counts
    WHERE ended_at IS NOT NULL;

-- Those whose time ends; runs without a timeout and a deadline write nothing here.
CREATE INDEX phaseline_run_expiry ON phaseline_pipeline_run (namespace, expires_at) WHERE expires_at IS NOT NULL;

-- Those that should be over at a time, and of which nothing is told; runs, and below phases, without a service level write nothing here.
CREATE INDEX phaseline_run_level ON phaseline_pipeline_run (namespace, sla_at)
    WHERE sla_at IS NOT NULL AND breached IS NULL AND ended_at IS NULL;

-- Runs by the one that started them; those that none did write nothing here.
CREATE INDEX phaseline_run_parent ON phaseline_pipeline_run (namespace, parent_id, id) WHERE parent_id IS NOT NULL;

-- Copies by the run that they are one of; runs that are none write nothing here.
CREATE INDEX phaseline_run_forked ON phaseline_pipeline_run (namespace, forked_from, id) WHERE forked_from IS NOT NULL;

-- Runs by tag and attribute; those that have none write nothing here.
CREATE TABLE phaseline_run_mark (
    namespace TEXT NOT NULL,
    mark TEXT NOT NULL,
    run_id TEXT NOT NULL,
    PRIMARY KEY (namespace, mark, run_id)
) WITHOUT ROWID;

-- With a rowid: an output of a kilobyte does not fit into a page of an index and would take a page of its own.
CREATE TABLE phaseline_phase_execution (
    namespace TEXT NOT NULL,
    run_id TEXT NOT NULL,
    path TEXT NOT NULL,
    epoch INTEGER NOT NULL CHECK (epoch >= 0),
    position INTEGER NOT NULL,
    generation INTEGER NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('PENDING', 'RUNNING', 'COMPLETED', 'FAILED', 'SKIPPED', 'RETRYING')),
    queue TEXT NOT NULL,
    lane TEXT, -- where it waits for a worker, by definition, priority, queue and limits. NULL: for none
    priority INTEGER NOT NULL,
    available_at INTEGER NOT NULL,
    attempt INTEGER NOT NULL,
    failures INTEGER NOT NULL,
    crashes INTEGER NOT NULL,
    postponed INTEGER NOT NULL,
    fence INTEGER NOT NULL,
    worker TEXT,
    lease_expires INTEGER,
    live INTEGER,
    length INTEGER,
    decided INTEGER, -- number of the event by which it came to what it stays
    gone_in_epoch INTEGER, -- of the run, which does without it from then on
    same_as TEXT, -- the path whose row holds the output, if this phase was given it ('' for the run's input)
    total INTEGER,
    limits TEXT, -- while it has a worker it holds a slot of each
    reason TEXT NOT NULL,
    error TEXT,
    progress TEXT,
    wait_kind TEXT CHECK (wait_kind IN ('signal', 'timer', 'child')),
    wait_key TEXT CHECK (wait_key <> ''),
    due_at INTEGER,
    sla_at INTEGER, -- when it should be over, by its service level
    breached INTEGER, -- number of the event that tells that it was not
    revision INTEGER NOT NULL, -- of the run, when this row was last written
    first_started_at INTEGER,
    started_at INTEGER,
    ended_at INTEGER,
    output TEXT, -- the last column: as the input of a run
    CHECK ((worker IS NULL) = (lease_expires IS NULL)),
    CHECK (worker IS NULL OR state = 'RUNNING'),
    CHECK (lane IS NULL OR state IN ('PENDING', 'RETRYING')),
    CHECK (wait_kind IS NULL OR (worker IS NULL AND state NOT IN ('PENDING', 'RETRYING'))),
    CHECK (wait_key IS NULL OR wait_kind IN ('signal', 'child')),
    CHECK (wait_kind <> 'child' OR wait_key IS NOT NULL),
    CHECK (due_at IS NULL OR wait_kind IS NOT NULL),
    CHECK (wait_kind <> 'timer' OR due_at IS NOT NULL),
    CHECK ((ended_at IS NOT NULL) = (state IN ('COMPLETED', 'FAILED', 'SKIPPED'))),
    CHECK (state <> 'FAILED' OR error IS NOT NULL),
    CHECK (decided IS NULL OR ended_at IS NOT NULL),
    CHECK (state <> 'COMPLETED' OR decided IS NOT NULL),
    CHECK (gone_in_epoch IS NULL OR (ended_at IS NOT NULL AND gone_in_epoch > epoch)),
    CHECK (output IS NULL OR live = 1),
    CHECK (same_as IS NULL OR (output IS NULL AND live = 1 AND same_as <> path)),
    PRIMARY KEY (namespace, run_id, path, epoch)
);

CREATE INDEX phaseline_phase_claim ON phaseline_phase_execution (namespace, lane, available_at, run_id, path)
    WHERE lane IS NOT NULL;

CREATE INDEX phaseline_phase_level ON phaseline_phase_execution (namespace, sla_at)
    WHERE sla_at IS NOT NULL AND breached IS NULL AND ended_at IS NULL;

CREATE INDEX phaseline_phase_wait ON phaseline_phase_execution (namespace, due_at)
    WHERE state = 'RUNNING' AND due_at IS NOT NULL;

CREATE INDEX phaseline_phase_lease ON phaseline_phase_execution (namespace, worker, lease_expires)
    WHERE worker IS NOT NULL;

CREATE TABLE phaseline_checkpoint (
    namespace TEXT NOT NULL,
    run_id TEXT NOT NULL,
    seq INTEGER NOT NULL, -- of the event that tells of it
    id TEXT NOT NULL,
    phase TEXT NOT NULL,
    revision INTEGER NOT NULL,
    epoch INTEGER NOT NULL,
    gone_in_epoch INTEGER, -- of the run, which does without it from then on
    created_at INTEGER NOT NULL,
    PRIMARY KEY (namespace, run_id, seq)
) WITHOUT ROWID;

CREATE TABLE phaseline_event (
    namespace TEXT NOT NULL,
    run_id TEXT NOT NULL,
    seq INTEGER NOT NULL CHECK (seq > 0),
    type TEXT NOT NULL,
    phase TEXT,
    source TEXT,
    target TEXT,
    data TEXT NOT NULL,
    at INTEGER NOT NULL,
    commit_id INTEGER NOT NULL, -- random, equal for the events of one commit
    CHECK ((source IS NULL) = (target IS NULL)),
    PRIMARY KEY (namespace, run_id, seq)
) WITHOUT ROWID;

CREATE TABLE phaseline_step_result (
    namespace TEXT NOT NULL,
    run_id TEXT NOT NULL,
    path TEXT NOT NULL,
    generation INTEGER NOT NULL,
    key TEXT NOT NULL,
    result TEXT NOT NULL,
    PRIMARY KEY (namespace, run_id, path, generation, key)
) WITHOUT ROWID;

CREATE TABLE phaseline_signal (
    namespace TEXT NOT NULL,
    run_id TEXT NOT NULL,
    seq INTEGER NOT NULL, -- of the event that tells of it
    name TEXT NOT NULL,
    key TEXT CHECK (key <> ''),
    id TEXT,
    value TEXT, -- until it is taken: then it is the output of the phase that took it
    taken_by TEXT,
    received_at INTEGER NOT NULL,
    revision INTEGER NOT NULL, -- of the run, when this row was last written
    CHECK ((value IS NULL) = (taken_by IS NOT NULL)),
    PRIMARY KEY (namespace, run_id, seq)
);

-- A signal that is sent twice under one id is received once.
CREATE UNIQUE INDEX phaseline_signal_id ON phaseline_signal (namespace, run_id, id) WHERE id IS NOT NULL;

-- What is known of a failure, until somebody sees to it.
CREATE TABLE phaseline_dead_letter (
    namespace TEXT NOT NULL,
    run_id TEXT NOT NULL,
    pipeline TEXT NOT NULL,
    seq INTEGER NOT NULL, -- of the event that tells of it
    phase TEXT,
    category TEXT NOT NULL,
    error TEXT NOT NULL,
    attempts INTEGER NOT NULL,
    crashes INTEGER NOT NULL,
    input TEXT, -- the path under which what the phase was given is stored
    at INTEGER NOT NULL,
    PRIMARY KEY (namespace, run_id, seq)
);

CREATE INDEX phaseline_dead_letter_at ON phaseline_dead_letter (namespace, at, run_id);

-- What runs have told each other, until it was heard.
CREATE TABLE phaseline_message (
    sender TEXT NOT NULL,
    namespace TEXT NOT NULL,
    seq INTEGER NOT NULL, -- of the newest event of who wrote it
    run_id TEXT NOT NULL,
    kind TEXT NOT NULL CHECK (kind IN ('ended', 'closed', 'again')),
    PRIMARY KEY (namespace, sender, seq, run_id, kind)
) WITHOUT ROWID;

CREATE TABLE phaseline_worker (
    namespace TEXT NOT NULL,
    id TEXT NOT NULL,
    host TEXT NOT NULL,
    pid INTEGER NOT NULL,
    process_started TEXT NOT NULL,
    seen_at INTEGER NOT NULL,
    PRIMARY KEY (namespace, id)
) WITHOUT ROWID;

-- Phases under rates that were started, those of one moment together, for as long as they count.
CREATE TABLE phaseline_rate_start (
    at INTEGER NOT NULL,
    until INTEGER NOT NULL,
    starts INTEGER NOT NULL CHECK (starts > 0),
    namespace TEXT NOT NULL,
    name TEXT NOT NULL, -- of the rate
    PRIMARY KEY (namespace, name, at)
) WITHOUT ROWID;

CREATE INDEX phaseline_rate_start_until ON phaseline_rate_start (namespace, until);

-- Runs that begin by themselves, at the slots of a rule.
CREATE TABLE phaseline_schedule (
    every INTEGER CHECK (every > 0), -- distance of slots
    next_at INTEGER, -- the first slot of which nothing is decided yet
    last_slot INTEGER,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    revision INTEGER NOT NULL CHECK (revision > 0),
    priority INTEGER NOT NULL CHECK (priority BETWEEN 0 AND 999),
    paused INTEGER NOT NULL,
    namespace TEXT NOT NULL,
    name TEXT NOT NULL,
    pipeline TEXT NOT NULL,
    version TEXT NOT NULL,
    cron TEXT,
    zone TEXT NOT NULL,
    input TEXT, -- NULL: each run takes its slot
    overlap TEXT NOT NULL CHECK (overlap IN ('skip', 'allow', 'queue')),
    catch_up TEXT NOT NULL CHECK (catch_up IN ('latest', 'all', 'none')),
    marks TEXT NOT NULL,
    CHECK ((cron IS NULL) <> (every IS NULL)),
    CHECK (NOT paused OR next_at IS NULL),
    PRIMARY KEY (namespace, name)
) WITHOUT ROWID;

CREATE INDEX phaseline_schedule_due ON phaseline_schedule (namespace, next_at) WHERE next_at IS NOT NULL
