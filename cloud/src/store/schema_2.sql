-- Schema version 2: rollouts, groups and pins.

-- pinned_at_s: new jobs pass the thing over.
ALTER TABLE things ADD COLUMN pinned_at_s INTEGER;
CREATE INDEX pinned_things ON things (name) WHERE pinned_at_s IS NOT NULL;

-- config: rollout, abort criteria, retries and schedule, JSON of `JobConfig`.
-- continuous: 1 if things that join its groups get it.
ALTER TABLE jobs ADD COLUMN config TEXT NOT NULL DEFAULT '{}';
ALTER TABLE jobs ADD COLUMN continuous INTEGER NOT NULL DEFAULT 0;

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

CREATE INDEX executions_of_job ON executions (job_id, status);
CREATE INDEX IF NOT EXISTS events_of_execution ON events (job_id, thing);
