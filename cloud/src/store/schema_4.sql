-- Schema version 4: access keys, and what the AWS control API stores beside the tables of the versions before.

-- A key's secret is derived from its id.
CREATE TABLE access_keys (
    id               TEXT PRIMARY KEY,
    label            TEXT NOT NULL,
    role             TEXT NOT NULL,
    created_at_s     INTEGER NOT NULL
);

-- details: what a job has beside what it does, JSON of `JobDetails`.
ALTER TABLE jobs ADD COLUMN details TEXT NOT NULL DEFAULT '{}';

-- attributes: a JSON object of texts. version: grows with each change of them.
ALTER TABLE things ADD COLUMN attributes TEXT NOT NULL DEFAULT '{}';
ALTER TABLE things ADD COLUMN version INTEGER NOT NULL DEFAULT 1;
ALTER TABLE groups ADD COLUMN description TEXT;

-- Objects of the S3 API: an image under a bucket and a key. Each upload is a version, whose id is the image's.
CREATE TABLE objects (
    seq              INTEGER PRIMARY KEY AUTOINCREMENT,
    bucket           TEXT NOT NULL,
    key              TEXT NOT NULL,
    image_id         TEXT NOT NULL UNIQUE REFERENCES images(id)
);
CREATE INDEX objects_by_key ON objects (bucket, key);

-- Streams that were created apart from a job, and their files: images that were uploaded as objects.
CREATE TABLE streams (
    id               TEXT PRIMARY KEY,
    description      TEXT,
    role_arn         TEXT NOT NULL,
    created_at_s     INTEGER NOT NULL
);
CREATE TABLE stream_objects (
    stream           TEXT NOT NULL REFERENCES streams(id),
    file_id          INTEGER NOT NULL,
    bucket           TEXT NOT NULL,
    key              TEXT NOT NULL,
    image_id         TEXT NOT NULL REFERENCES images(id),
    PRIMARY KEY (stream, file_id)
) WITHOUT ROWID;

-- The stream that a custom document names: its things may request the stream's files. It may be created later.
ALTER TABLE jobs ADD COLUMN named_stream TEXT;
CREATE INDEX jobs_by_named_stream ON jobs (named_stream);

-- Updates of CreateOTAUpdate. request: its JSON.
CREATE TABLE ota_updates (
    id               TEXT PRIMARY KEY,
    job_id           TEXT NOT NULL,
    request          TEXT NOT NULL,
    created_at_s     INTEGER NOT NULL
);

-- Job templates. settings: JSON, of members of CreateJob.
CREATE TABLE job_templates (
    id               TEXT PRIMARY KEY,
    settings         TEXT NOT NULL,
    created_at_s     INTEGER NOT NULL
);
