-- The version with which an audit comment was committed; 0 for every other line.
ALTER TABLE audit ADD COLUMN config_version INTEGER NOT NULL DEFAULT 0;
