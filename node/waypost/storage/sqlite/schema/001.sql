-- Schema 1. Numbered files are never edited once released; a change is a new file that upgrades the one before.

CREATE TABLE meta (
    name  TEXT NOT NULL PRIMARY KEY,
    value ANY  NOT NULL
) STRICT, WITHOUT ROWID;

-- One row per local device (its inbox) and per peer node (its outbox). Owner: a device key in hex, or a provider name.
CREATE TABLE mailbox (
    id    INTEGER NOT NULL PRIMARY KEY,
    kind  INTEGER NOT NULL CHECK (kind IN (0, 1)),
    owner TEXT    NOT NULL,
    UNIQUE (kind, owner)
) STRICT;

-- Envelopes (kind 0) or outcomes (kind 1) that arrived together for the same mailboxes: a msgpack array of byte strings.
-- Many to a row, since SQLite stores one large blob far more tightly and cheaply than many small ones.
CREATE TABLE segment (
    id   INTEGER NOT NULL PRIMARY KEY,
    kind INTEGER NOT NULL CHECK (kind IN (0, 1)),
    data BLOB    NOT NULL
) STRICT;

-- A mailbox's claim on a segment, in order of arrival. picks: which of the segment's items are meant, as big-endian u16;
-- NULL means all. due_ms > 0: refused for now by the next hop, not offered again before that time. shared: other
-- mailboxes may have a claim on the same segment, which goes with the last of them.
CREATE TABLE delivery (
    mailbox    INTEGER NOT NULL,
    seq        INTEGER NOT NULL,
    segment    INTEGER NOT NULL,
    items      INTEGER NOT NULL CHECK (items > 0),
    bytes      INTEGER NOT NULL,
    expires_ms INTEGER NOT NULL,
    due_ms     INTEGER NOT NULL DEFAULT 0,
    shared     INTEGER NOT NULL DEFAULT 0 CHECK (shared IN (0, 1)),
    picks      BLOB,
    PRIMARY KEY (mailbox, seq)
) STRICT, WITHOUT ROWID;
CREATE INDEX delivery_expiry ON delivery (expires_ms);
CREATE INDEX delivery_due ON delivery (due_ms) WHERE due_ms > 0;
CREATE INDEX delivery_shared ON delivery (segment) WHERE shared = 1;

-- Ids that have been accepted: for duplicates, and as the first line of each trace. A bucket is created_ms / 4096, so that
-- a look-up reads only the ids of envelopes made in the same four seconds. ids: 16 bytes each, one after the other.
-- mailboxes: where they were put, as numbers with commas between.
CREATE TABLE seen (
    bucket    INTEGER NOT NULL,
    at_ms     INTEGER NOT NULL,
    source    TEXT    NOT NULL,
    mailboxes TEXT    NOT NULL,
    ids       BLOB    NOT NULL
) STRICT;
CREATE INDEX seen_bucket ON seen (bucket);

-- Later steps in the life of envelopes, a row for all those that took the step together.
CREATE TABLE trace (
    at_ms INTEGER NOT NULL,
    event TEXT    NOT NULL,
    party TEXT    NOT NULL,
    code  INTEGER NOT NULL,
    ids   BLOB    NOT NULL
) STRICT;

CREATE TABLE account (
    user        TEXT    NOT NULL PRIMARY KEY,
    created_ms  INTEGER NOT NULL,
    device_list BLOB    NOT NULL DEFAULT x'',
    reach       TEXT    NOT NULL DEFAULT '' CHECK (reach IN ('', 'all', 'none', 'some')),
    providers   TEXT    NOT NULL DEFAULT ''
) STRICT, WITHOUT ROWID;

-- suites: those that the device has published packages of, latest first, as a JSON array. It tells 'exhausted' from
-- 'incompatible' when no package is left.
CREATE TABLE device (
    key       BLOB    NOT NULL PRIMARY KEY CHECK (length(key) = 32),
    user      TEXT    NOT NULL REFERENCES account (user) ON DELETE CASCADE,
    label     TEXT    NOT NULL DEFAULT '',
    joined_ms INTEGER NOT NULL,
    mailbox   INTEGER NOT NULL,
    suites    TEXT    NOT NULL DEFAULT '[]'
) STRICT, WITHOUT ROWID;
CREATE INDEX device_user ON device (user);

-- The token itself is never stored: who steals the database cannot join with it.
CREATE TABLE invite (
    token_hash BLOB    NOT NULL PRIMARY KEY,
    user       TEXT    NOT NULL REFERENCES account (user) ON DELETE CASCADE,
    expires_ms INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE package (
    id          INTEGER NOT NULL PRIMARY KEY,
    device      BLOB    NOT NULL REFERENCES device (key) ON DELETE CASCADE,
    suite       TEXT    NOT NULL,
    last_resort INTEGER NOT NULL CHECK (last_resort IN (0, 1)),
    expires_ms  INTEGER NOT NULL,
    data        BLOB    NOT NULL
) STRICT;
CREATE INDEX package_device ON package (device, suite, last_resort, id);

-- Requests answered, so that a repeated one changes nothing and gets the same answer.
-- expires_ms: not forgotten before, however old: an upload brought back would be issued a second time.
CREATE TABLE answered (
    request    BLOB    NOT NULL PRIMARY KEY,
    at_ms      INTEGER NOT NULL,
    digest     BLOB    NOT NULL,
    answer     BLOB    NOT NULL,
    expires_ms INTEGER NOT NULL DEFAULT 0
) STRICT, WITHOUT ROWID;

-- Peers by name. trust: how the key was learnt ('' = only heard of). policy: the operator's word, if any.
CREATE TABLE peer (
    provider TEXT    NOT NULL PRIMARY KEY,
    key      BLOB    NOT NULL DEFAULT x'',
    trust    TEXT    NOT NULL DEFAULT '' CHECK (trust IN ('', 'first-use', 'pinned', 'dns', 'succession')),
    policy   TEXT    NOT NULL DEFAULT '' CHECK (policy IN ('', 'allow', 'block')),
    record   BLOB    NOT NULL DEFAULT x'',
    first_ms INTEGER NOT NULL,
    heard_ms INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

INSERT INTO meta (name, value) VALUES ('epoch', 1);
