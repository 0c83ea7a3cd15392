-- How far each way of log forwarding has come.
CREATE TABLE forwarding (
    lane     TEXT PRIMARY KEY,
    position INTEGER NOT NULL,
    lost     INTEGER NOT NULL,
    used_us  INTEGER NOT NULL
) STRICT;
