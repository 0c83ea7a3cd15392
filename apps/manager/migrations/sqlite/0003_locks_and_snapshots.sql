-- Who keeps others from editing or committing, and why.
CREATE TABLE locks (
    -- `config` or `commit`.
    kind       TEXT NOT NULL,
    -- `shared` is everything; otherwise the name of a device group, template or stack.
    scope      TEXT NOT NULL,
    admin      TEXT NOT NULL,
    comment    TEXT NOT NULL,
    created_us INTEGER NOT NULL,
    PRIMARY KEY (kind, scope)
) STRICT;

-- Configurations saved under a name.
CREATE TABLE snapshots (
    name          TEXT PRIMARY KEY,
    time_us       INTEGER NOT NULL,
    author        TEXT NOT NULL,
    -- SHA-256, hex, of `configuration`.
    digest        TEXT NOT NULL,
    configuration TEXT NOT NULL
) STRICT;
