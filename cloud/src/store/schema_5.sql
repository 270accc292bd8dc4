-- Schema version 5: reports of devices, and releases.

-- The last report of each device about itself.
CREATE TABLE reports (
    thing            TEXT PRIMARY KEY REFERENCES things(name) ON DELETE CASCADE,
    available        INTEGER NOT NULL,
    reason           TEXT,
    hardware         TEXT,
    version          TEXT,
    system_version   TEXT,
    security_counter INTEGER,
    at_s             INTEGER NOT NULL
);

-- hardware: set by a person, for a device that reports none.
ALTER TABLE things ADD COLUMN hardware TEXT;

-- due: 1 if the thing gets the job when its next session begins, and the rate allows it.
ALTER TABLE waiting ADD COLUMN due INTEGER NOT NULL DEFAULT 0;
CREATE INDEX due_things ON waiting (thing) WHERE due = 1;

-- Jobs that are releases. mode: on_session or immediate. halt: JSON of `HaltRule`. halted: why it was halted.
-- reverts: the release that this one takes back. reverted: 1 once another release took it back.
CREATE TABLE releases (
    seq              INTEGER PRIMARY KEY AUTOINCREMENT,
    job_id           TEXT NOT NULL UNIQUE REFERENCES jobs(id) ON DELETE CASCADE,
    mode             TEXT NOT NULL,
    halt             TEXT NOT NULL,
    halted           TEXT,
    reverts          TEXT,
    reverted         INTEGER NOT NULL DEFAULT 0
);
CREATE INDEX reverting_releases ON releases (reverts) WHERE reverts IS NOT NULL;
