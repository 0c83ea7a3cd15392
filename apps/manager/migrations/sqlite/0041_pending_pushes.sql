-- What devices have yet to get: written when a push begins, gone when the device has it or refuses it. A newer push
-- takes the place of an older one.
CREATE TABLE pending_pushes (
    serial    TEXT PRIMARY KEY,
    -- The job that pushes it.
    job       INTEGER NOT NULL,
    version   INTEGER NOT NULL,
    -- Whether its policy and its templates are of that version.
    policy    INTEGER NOT NULL,
    templates INTEGER NOT NULL,
    admin     TEXT NOT NULL,
    time_us   INTEGER NOT NULL
) STRICT;
