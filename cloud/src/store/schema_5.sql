-- Schema version 5: reports of devices, and their hardware.

-- The last report of each device about itself.
CREATE TABLE reports (
    thing            TEXT PRIMARY KEY REFERENCES things(name),
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
