-- What devices have yet to get: written when a push begins, gone when the device has it or refuses it. A newer push
-- takes the place of an older one.
CREATE TABLE pending_pushes (
    serial    TEXT COLLATE "C" PRIMARY KEY,
    -- The job that pushes it.
    job       BIGINT NOT NULL,
    version   BIGINT NOT NULL,
    -- Whether its policy and its templates are of that version.
    policy    BIGINT NOT NULL,
    templates BIGINT NOT NULL,
    admin     TEXT COLLATE "C" NOT NULL,
    time_us   BIGINT NOT NULL
);
