-- How far each way of log forwarding has come.
CREATE TABLE forwarding (
    lane     TEXT COLLATE "C" PRIMARY KEY,
    position BIGINT NOT NULL,
    lost     BIGINT NOT NULL,
    used_us  BIGINT NOT NULL
);
