-- Times are microseconds since the Unix epoch. Secrets are stored only as digests.

CREATE TABLE meta (
    key   TEXT PRIMARY KEY,
    value TEXT NOT NULL
) STRICT;

CREATE TABLE administrators (
    name          TEXT PRIMARY KEY,
    -- argon2id, PHC string.
    password_hash TEXT NOT NULL,
    created_us    INTEGER NOT NULL
) STRICT;

CREATE TABLE api_keys (
    -- SHA-256 of the key text.
    digest        BLOB PRIMARY KEY,
    administrator TEXT NOT NULL,
    -- SHA-256 of the password hash the key was made under: a changed password ends the key.
    credential    BLOB NOT NULL,
    created_us    INTEGER NOT NULL,
    used_us       INTEGER NOT NULL
) STRICT;
CREATE INDEX api_keys_by_use ON api_keys (administrator, used_us);

-- Running configurations. The highest number is the one in force.
CREATE TABLE versions (
    number        INTEGER PRIMARY KEY,
    time_us       INTEGER NOT NULL,
    author        TEXT NOT NULL,
    comment       TEXT NOT NULL,
    -- SHA-256, hex, of `configuration`.
    digest        TEXT NOT NULL,
    configuration TEXT NOT NULL
) STRICT;

-- Edits of the candidate since the newest version, in order. Replayed over it at start.
CREATE TABLE journal (
    id      INTEGER PRIMARY KEY AUTOINCREMENT,
    time_us INTEGER NOT NULL,
    author  TEXT NOT NULL,
    -- The edit as JSON: action, xpath, element, newname, where, dst.
    edit    TEXT NOT NULL
) STRICT;

CREATE TABLE jobs (
    id     INTEGER PRIMARY KEY AUTOINCREMENT,
    -- The whole job as JSON.
    record TEXT NOT NULL
) STRICT;

CREATE TABLE devices (
    serial                TEXT PRIMARY KEY,
    -- SHA-256, hex, of the device certificate. Only that one may attach.
    certificate_digest    TEXT NOT NULL,
    certificate_expiry_us INTEGER NOT NULL,
    hostname              TEXT NOT NULL,
    software_version      TEXT NOT NULL,
    management_address    TEXT NOT NULL,
    enrolled_us           INTEGER NOT NULL,
    last_seen_us          INTEGER NOT NULL,
    -- The versions whose policy and templates were pushed last, and what they rendered to.
    policy_version        INTEGER,
    template_version      INTEGER,
    pushed_digest         TEXT NOT NULL DEFAULT '',
    pushed_us             INTEGER,
    -- What the device says it enforces.
    running_digest        TEXT NOT NULL DEFAULT ''
) STRICT;

CREATE TABLE auth_keys (
    -- SHA-256 of the secret.
    digest         BLOB PRIMARY KEY,
    name           TEXT NOT NULL,
    -- First characters of the secret, so that a person can tell keys apart.
    hint           TEXT NOT NULL,
    created_us     INTEGER NOT NULL,
    expires_us     INTEGER NOT NULL,
    -- NULL: any number of devices until it expires.
    uses_left      INTEGER
) STRICT;

CREATE TABLE traffic_logs (
    id                   INTEGER PRIMARY KEY AUTOINCREMENT,
    serial               TEXT NOT NULL,
    received_us          INTEGER NOT NULL,
    generated_us         INTEGER NOT NULL,
    subtype              TEXT NOT NULL,
    source               TEXT NOT NULL,
    destination          TEXT NOT NULL,
    nat_source           TEXT NOT NULL,
    nat_destination      TEXT NOT NULL,
    -- 16 bytes in network order, IPv4 mapped, so that a prefix is a range.
    source_key           BLOB NOT NULL,
    destination_key      BLOB NOT NULL,
    nat_source_key       BLOB NOT NULL,
    nat_destination_key  BLOB NOT NULL,
    rule                 TEXT NOT NULL,
    nat_rule             TEXT NOT NULL,
    application          TEXT NOT NULL,
    from_zone            TEXT NOT NULL,
    to_zone              TEXT NOT NULL,
    inbound_interface    TEXT NOT NULL,
    outbound_interface   TEXT NOT NULL,
    session_id           INTEGER NOT NULL,
    source_port          INTEGER NOT NULL,
    destination_port     INTEGER NOT NULL,
    nat_source_port      INTEGER NOT NULL,
    nat_destination_port INTEGER NOT NULL,
    protocol             INTEGER NOT NULL,
    action               TEXT NOT NULL,
    bytes_sent           INTEGER NOT NULL,
    bytes_received       INTEGER NOT NULL,
    packets_sent         INTEGER NOT NULL,
    packets_received     INTEGER NOT NULL,
    start_us             INTEGER NOT NULL,
    elapsed_s            INTEGER NOT NULL,
    session_end_reason   TEXT NOT NULL
) STRICT;
CREATE INDEX traffic_logs_by_time ON traffic_logs (generated_us);

-- How far the records of a firewall process are stored: what it sends again is dropped.
CREATE TABLE log_positions (
    serial     TEXT NOT NULL,
    boot_id    TEXT NOT NULL,
    sequence   INTEGER NOT NULL,
    updated_us INTEGER NOT NULL,
    PRIMARY KEY (serial, boot_id)
) STRICT;

-- The config log: who asked for which change, and what came of it.
CREATE TABLE audit (
    id      INTEGER PRIMARY KEY AUTOINCREMENT,
    time_us INTEGER NOT NULL,
    admin   TEXT NOT NULL,
    host    TEXT NOT NULL,
    client  TEXT NOT NULL,
    cmd     TEXT NOT NULL,
    path    TEXT NOT NULL,
    result  TEXT NOT NULL,
    before  TEXT NOT NULL,
    after   TEXT NOT NULL
) STRICT;
