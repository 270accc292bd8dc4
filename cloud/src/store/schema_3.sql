-- Schema version 3: accounts, tokens, and who made a change.

-- password: Argon2id in PHC string format. stamp: random, renewed with the password; a session refers to it.
CREATE TABLE accounts (
    name             TEXT PRIMARY KEY,
    role             TEXT NOT NULL,
    password         TEXT NOT NULL,
    stamp            TEXT NOT NULL,
    created_at_s     INTEGER NOT NULL
);

-- digest: SHA-256 of the token, lower-case hexadecimal.
CREATE TABLE tokens (
    name             TEXT PRIMARY KEY,
    role             TEXT NOT NULL,
    digest           TEXT NOT NULL UNIQUE,
    created_at_s     INTEGER NOT NULL
);

-- made_by: the account or token that made the change; NULL if a device or the service did.
ALTER TABLE events ADD COLUMN made_by TEXT;
