-- Each time of a scheduled push that had its job. A time has one.
CREATE TABLE schedule_runs (
    schedule TEXT COLLATE "C" NOT NULL,
    due_us   BIGINT NOT NULL,
    begun_us BIGINT NOT NULL,
    job      BIGINT NOT NULL,
    PRIMARY KEY (schedule, due_us)
);
