-- System and threat log of the firewalls.
CREATE TABLE event_logs (
    id              INTEGER PRIMARY KEY AUTOINCREMENT,
    serial          TEXT NOT NULL,
    received_us     INTEGER NOT NULL,
    generated_us    INTEGER NOT NULL,
    -- system, threat
    log             TEXT NOT NULL,
    subtype         TEXT NOT NULL,
    severity        TEXT NOT NULL,
    event           TEXT NOT NULL,
    object          TEXT NOT NULL,
    description     TEXT NOT NULL,
    source          TEXT NOT NULL,
    destination     TEXT NOT NULL,
    -- 16 bytes in network order, IPv4 mapped.
    source_key      BLOB NOT NULL,
    destination_key BLOB NOT NULL,
    from_zone       TEXT NOT NULL,
    action          TEXT NOT NULL
) STRICT;
CREATE INDEX event_logs_by_time ON event_logs (log, generated_us);
