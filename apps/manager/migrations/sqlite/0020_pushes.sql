-- The last push to each device, and what became of it.
CREATE TABLE pushes (
    serial           TEXT PRIMARY KEY,
    push_id          INTEGER NOT NULL,
    -- What it brings, and what the device had before.
    policy_version   INTEGER NOT NULL,
    template_version INTEGER NOT NULL,
    digest           TEXT NOT NULL,
    policy_before    INTEGER,
    template_before  INTEGER,
    digest_before    TEXT NOT NULL,
    started_us       INTEGER NOT NULL,
    -- sent, confirmed, reverted
    state            TEXT NOT NULL
) STRICT;
