-- Schema version 6: jobs that are paused, and probes.

-- paused: 1 while no further thing gets the job.
ALTER TABLE jobs ADD COLUMN paused INTEGER NOT NULL DEFAULT 0;

-- A row that is written and removed, to see whether the database takes changes.
CREATE TABLE probes (
    content          BLOB NOT NULL
);
