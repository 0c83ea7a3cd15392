-- What waits for somebody else's approval, and what became of it.
CREATE TABLE approvals (
    id         INTEGER PRIMARY KEY AUTOINCREMENT,
    -- commit, push
    kind       TEXT NOT NULL,
    -- SHA-256, hex, of what it is about, to the letter.
    digest     TEXT NOT NULL,
    requester  TEXT NOT NULL,
    -- Whose edits they are, as JSON.
    authors    TEXT NOT NULL,
    -- What it is about, for people: lines.
    summary    TEXT NOT NULL,
    created_us INTEGER NOT NULL,
    -- pending, approved, refused, used
    state      TEXT NOT NULL,
    decided_by TEXT NOT NULL,
    decided_us INTEGER,
    comment    TEXT NOT NULL
) STRICT;
