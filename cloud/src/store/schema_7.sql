-- Schema version 7: things that a job did not reach, and metadata of objects.

-- The things that still waited for an execution of a job when it was cancelled, or at the end of its schedule.
CREATE TABLE unreached (
    job_id           TEXT NOT NULL REFERENCES jobs(id) ON DELETE CASCADE,
    thing            TEXT NOT NULL REFERENCES things(name) ON DELETE CASCADE,
    PRIMARY KEY (job_id, thing)
) WITHOUT ROWID;
CREATE INDEX unreached_things ON unreached (thing);

-- metadata: what an object was uploaded with, a JSON object of texts.
ALTER TABLE objects ADD COLUMN metadata TEXT NOT NULL DEFAULT '{}';
