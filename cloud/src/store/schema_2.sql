-- What a database of schema version 1 lacks.

ALTER TABLE jobs ADD COLUMN config TEXT NOT NULL DEFAULT '{}';

CREATE TABLE waiting (
    job_id           TEXT NOT NULL REFERENCES jobs(id),
    position         INTEGER NOT NULL,
    thing            TEXT NOT NULL REFERENCES things(name),
    PRIMARY KEY (job_id, position)
) WITHOUT ROWID;

CREATE INDEX executions_of_job ON executions (job_id, status);
CREATE INDEX IF NOT EXISTS events_of_execution ON events (job_id, thing);
