-- What a push by administrator gave a device: a version without some of the edits that led to it. The number is that
-- version, and above its lowest 32 bits a number of its own.
CREATE TABLE side_versions (
    number BIGINT PRIMARY KEY,
    -- Every edit that was left out is of a later version than this one.
    origin BIGINT NOT NULL,
    -- Numbers of the edits that were left out, as JSON.
    left_out TEXT NOT NULL,
    -- SHA-256, hex, of `text`.
    digest TEXT NOT NULL,
    text   TEXT NOT NULL
);

-- Of whom the edits are that a device has yet to get, as JSON; of everybody when empty.
ALTER TABLE pending_pushes ADD COLUMN of_admins TEXT NOT NULL DEFAULT '';
