-- Each time of a scheduled push that had its job. A time has one.
CREATE TABLE schedule_runs (
    schedule TEXT NOT NULL,
    due_us   INTEGER NOT NULL,
    begun_us INTEGER NOT NULL,
    job      INTEGER NOT NULL,
    PRIMARY KEY (schedule, due_us)
) STRICT;
