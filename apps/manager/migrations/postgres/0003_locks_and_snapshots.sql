-- Who keeps others from editing or committing, and why.
CREATE TABLE locks (
    -- `config` or `commit`.
    kind       TEXT COLLATE "C" NOT NULL,
    -- `shared` is everything; otherwise the name of a device group, template or stack.
    scope      TEXT COLLATE "C" NOT NULL,
    admin      TEXT COLLATE "C" NOT NULL,
    comment    TEXT COLLATE "C" NOT NULL,
    created_us BIGINT NOT NULL,
    PRIMARY KEY (kind, scope)
);

-- Configurations saved under a name.
CREATE TABLE snapshots (
    name          TEXT COLLATE "C" PRIMARY KEY,
    time_us       BIGINT NOT NULL,
    author        TEXT COLLATE "C" NOT NULL,
    -- SHA-256, hex, of `configuration`.
    digest        TEXT COLLATE "C" NOT NULL,
    configuration TEXT COLLATE "C" NOT NULL
);
