-- The job that a push belongs to.
ALTER TABLE pushes ADD COLUMN job INTEGER NOT NULL DEFAULT 0;
