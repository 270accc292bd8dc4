-- The state of the service, schema version 2 (PRAGMA user_version). What version 1 lacks is in schema_2.sql.
-- Times: *_at_s and *_deadline_s are seconds since 1970, *_at_ms milliseconds.

-- pinned_at_s: new jobs pass the thing over.
CREATE TABLE things (
    name             TEXT PRIMARY KEY,
    created_at_s     INTEGER NOT NULL,
    pinned_at_s      INTEGER
);
CREATE INDEX pinned_things ON things (name) WHERE pinned_at_s IS NOT NULL;

-- An uploaded file; its bytes are images/<id> below the data directory.
CREATE TABLE images (
    id               TEXT PRIMARY KEY,
    name             TEXT NOT NULL,
    size_bytes       INTEGER NOT NULL,
    sha256           TEXT NOT NULL,
    signature        TEXT,
    created_at_s     INTEGER NOT NULL
);

-- canceled: 0 no, 1 with its queued executions, 2 also with those in progress.
-- config: rollout, abort criteria and retries, JSON of `JobConfig`.
-- continuous: 1 if things that join its groups get it.
CREATE TABLE jobs (
    seq              INTEGER PRIMARY KEY AUTOINCREMENT,
    id               TEXT NOT NULL UNIQUE,
    document         TEXT NOT NULL,
    stream           TEXT UNIQUE,
    timeout_s        INTEGER,
    canceled         INTEGER NOT NULL DEFAULT 0,
    created_at_s     INTEGER NOT NULL,
    config           TEXT NOT NULL DEFAULT '{}',
    continuous       INTEGER NOT NULL DEFAULT 0
);

-- The things of a job that have no execution yet, in the order of the rollout.
CREATE TABLE waiting (
    job_id           TEXT NOT NULL REFERENCES jobs(id),
    position         INTEGER NOT NULL,
    thing            TEXT NOT NULL REFERENCES things(name),
    PRIMARY KEY (job_id, position)
) WITHOUT ROWID;
CREATE INDEX waiting_things ON waiting (job_id, thing);

-- Groups of things.
CREATE TABLE groups (
    name             TEXT PRIMARY KEY,
    created_at_s     INTEGER NOT NULL
);
CREATE TABLE group_members (
    group_name       TEXT NOT NULL REFERENCES groups(name),
    thing            TEXT NOT NULL REFERENCES things(name),
    PRIMARY KEY (group_name, thing)
) WITHOUT ROWID;

-- The groups of continuous jobs: things that join one get the job.
CREATE TABLE job_groups (
    group_name       TEXT NOT NULL REFERENCES groups(name),
    job_id           TEXT NOT NULL REFERENCES jobs(id),
    PRIMARY KEY (group_name, job_id)
) WITHOUT ROWID;

-- The files of the stream of one job.
CREATE TABLE stream_files (
    stream           TEXT NOT NULL REFERENCES jobs(stream),
    file_id          INTEGER NOT NULL,
    image_id         TEXT NOT NULL REFERENCES images(id),
    PRIMARY KEY (stream, file_id)
) WITHOUT ROWID;

CREATE TABLE executions (
    seq              INTEGER PRIMARY KEY AUTOINCREMENT,
    job_id           TEXT NOT NULL REFERENCES jobs(id),
    thing            TEXT NOT NULL REFERENCES things(name),
    number           INTEGER NOT NULL,
    status           TEXT NOT NULL,
    details          TEXT,
    queued_at_s      INTEGER NOT NULL,
    started_at_s     INTEGER,
    updated_at_s     INTEGER NOT NULL,
    version          INTEGER NOT NULL,
    job_deadline_s   INTEGER,
    step_deadline_s  INTEGER,
    UNIQUE (job_id, thing)
);
CREATE INDEX executions_of_thing ON executions (thing, status);
CREATE INDEX executions_by_status ON executions (status);
CREATE INDEX executions_of_job ON executions (job_id, status);

-- The audit: what happened, in order; of each execution its newest events.
CREATE TABLE events (
    seq              INTEGER PRIMARY KEY AUTOINCREMENT,
    at_ms            INTEGER NOT NULL,
    kind             TEXT NOT NULL,
    job_id           TEXT,
    thing            TEXT,
    text             TEXT NOT NULL
);
CREATE INDEX events_of_execution ON events (job_id, thing);
