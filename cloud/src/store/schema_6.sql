-- Schema version 6: jobs that are paused.

-- paused: 1 while no further thing gets the job.
ALTER TABLE jobs ADD COLUMN paused INTEGER NOT NULL DEFAULT 0;
