-- A message goes to one or more recipients, in one or more envelopes; an envelope is for one or more of them. Each
-- recipient has a history of its own.

-- content: encrypted; size: its bytes as they were. Both go (NULL, 0) once every recipient has an envelope or an end.
CREATE TABLE message (
    id          INTEGER NOT NULL PRIMARY KEY,
    local       BLOB    NOT NULL UNIQUE,
    created_ms  INTEGER NOT NULL,
    expires_ms  INTEGER NOT NULL,
    accepts_key INTEGER NOT NULL CHECK (accepts_key IN (0, 1)),
    size        INTEGER NOT NULL,
    content     BLOB
) STRICT;
CREATE INDEX message_created ON message (created_ms);
CREATE INDEX message_unsealed ON message (size) WHERE size > 0;

-- due_ms: when it is to be offered. It goes, as data does, once the node has it or no recipient waits for it.
CREATE TABLE envelope (
    id          INTEGER NOT NULL PRIMARY KEY,
    message     INTEGER NOT NULL REFERENCES message (id) ON DELETE CASCADE,
    envelope_id BLOB    NOT NULL UNIQUE,
    size        INTEGER NOT NULL,
    tries       INTEGER NOT NULL DEFAULT 0,
    due_ms      INTEGER,
    data        BLOB
) STRICT;
CREATE INDEX envelope_message ON envelope (message);
CREATE INDEX envelope_unsent ON envelope (message, id, due_ms, size) WHERE due_ms IS NOT NULL;

-- stage: see SendStage in mail/history.py.
CREATE TABLE recipient (
    id       INTEGER NOT NULL PRIMARY KEY,
    message  INTEGER NOT NULL REFERENCES message (id) ON DELETE CASCADE,
    address  TEXT    NOT NULL,
    envelope INTEGER REFERENCES envelope (id) ON DELETE CASCADE,
    stage    INTEGER NOT NULL CHECK (stage IN (0, 1, 2, 3)),
    UNIQUE (message, address)
) STRICT;
CREATE INDEX recipient_envelope ON recipient (envelope) WHERE envelope IS NOT NULL;
CREATE INDEX recipient_unsealed ON recipient (address, message) WHERE stage = 0;

INSERT INTO message (id, local, created_ms, expires_ms, accepts_key, size, content)
    SELECT id, local, created_ms, expires_ms, accepts_key, iif(content IS NULL, 0, size), content FROM sent;
INSERT INTO envelope (id, message, envelope_id, size, tries, due_ms, data)
    SELECT id, id, envelope_id, size, tries, iif(stage = 1, due_ms, NULL), iif(stage = 1, envelope, NULL)
    FROM sent WHERE envelope_id IS NOT NULL;
INSERT INTO recipient (id, message, address, envelope, stage)
    SELECT id, id, recipient, iif(envelope_id IS NULL, NULL, id), stage FROM sent;

ALTER TABLE status RENAME TO old_status;
CREATE TABLE status (
    recipient INTEGER NOT NULL REFERENCES recipient (id) ON DELETE CASCADE,
    n         INTEGER NOT NULL,
    state     TEXT    NOT NULL CHECK (state IN (
        'queued', 'waiting', 'deferred', 'accepted', 'held', 'delivered', 'bounced', 'expired', 'other'
    )),
    at_ms     INTEGER NOT NULL,
    code      INTEGER NOT NULL,
    next_ms   INTEGER NOT NULL,
    PRIMARY KEY (recipient, n)
) STRICT, WITHOUT ROWID;
INSERT INTO status (recipient, n, state, at_ms, code, next_ms)
    SELECT sent, n, state, at_ms, code, next_ms FROM old_status;
DROP TABLE old_status;
DROP TABLE sent;
