-- The job that a push belongs to.
ALTER TABLE pushes ADD COLUMN job BIGINT NOT NULL DEFAULT 0;
