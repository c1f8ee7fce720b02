-- sent.stage: 0 has no envelope yet, 1 has one that the node has not taken, 2 is with the node, 3 has come to an end.
CREATE TABLE sent (
    id          INTEGER NOT NULL PRIMARY KEY,
    local       BLOB    NOT NULL UNIQUE,
    envelope_id BLOB    UNIQUE,
    recipient   TEXT    NOT NULL,
    created_ms  INTEGER NOT NULL,
    expires_ms  INTEGER NOT NULL,
    stage       INTEGER NOT NULL CHECK (stage BETWEEN 0 AND 3),
    size        INTEGER NOT NULL,
    accepts_key INTEGER NOT NULL CHECK (accepts_key IN (0, 1)),
    tries       INTEGER NOT NULL DEFAULT 0,
    due_ms      INTEGER NOT NULL DEFAULT 0,
    content     BLOB,
    envelope    BLOB
) STRICT;
CREATE INDEX sent_unsent ON sent (stage, due_ms, size) WHERE stage < 2;
CREATE INDEX sent_recipient ON sent (recipient, id) WHERE stage = 0;
CREATE INDEX sent_created ON sent (created_ms);

CREATE TABLE status (
    sent    INTEGER NOT NULL REFERENCES sent (id) ON DELETE CASCADE,
    n       INTEGER NOT NULL,
    state   TEXT    NOT NULL,
    at_ms   INTEGER NOT NULL,
    code    INTEGER NOT NULL,
    next_ms INTEGER NOT NULL,
    PRIMARY KEY (sent, n)
) STRICT, WITHOUT ROWID;

CREATE TABLE inbox (
    id          INTEGER NOT NULL PRIMARY KEY,
    envelope_id BLOB    NOT NULL UNIQUE,
    digest      BLOB    UNIQUE,
    received_ms INTEGER NOT NULL,
    forget_ms   INTEGER NOT NULL,
    shown       INTEGER NOT NULL DEFAULT 0 CHECK (shown IN (0, 1)),
    size        INTEGER NOT NULL,
    message     BLOB
) STRICT;
CREATE INDEX inbox_unread ON inbox (id, size) WHERE shown = 0;
CREATE INDEX inbox_forget ON inbox (forget_ms) WHERE shown = 1;

CREATE TABLE upload (
    id    BLOB    NOT NULL PRIMARY KEY,
    epoch INTEGER NOT NULL,
    at_ms INTEGER NOT NULL,
    state INTEGER NOT NULL CHECK (state BETWEEN 0 AND 2)
) STRICT, WITHOUT ROWID;

CREATE TABLE package (
    id          BLOB    NOT NULL PRIMARY KEY,
    upload      BLOB    NOT NULL,
    last_resort INTEGER NOT NULL CHECK (last_resort IN (0, 1)),
    forget_ms   INTEGER NOT NULL,
    seed        BLOB    NOT NULL,
    data        BLOB
) STRICT, WITHOUT ROWID;
CREATE INDEX package_upload ON package (upload);
CREATE INDEX package_forget ON package (forget_ms);

CREATE TABLE pin (
    id       INTEGER NOT NULL PRIMARY KEY,
    address  TEXT    NOT NULL UNIQUE,
    identity BLOB    NOT NULL,
    list     BLOB    NOT NULL,
    changed  BLOB    NOT NULL DEFAULT x'',
    written  INTEGER NOT NULL CHECK (written IN (0, 1)),
    since_ms INTEGER NOT NULL
) STRICT;
CREATE INDEX pin_unwritten ON pin (id) WHERE written = 0;

CREATE TABLE bundle (
    address  TEXT    NOT NULL PRIMARY KEY,
    until_ms INTEGER NOT NULL,
    packages BLOB    NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX bundle_until ON bundle (until_ms);
