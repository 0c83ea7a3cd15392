-- Set by `request device re-enrol`: the next device that names this serial may take it over, once.
ALTER TABLE devices ADD COLUMN re_enrol INTEGER NOT NULL DEFAULT 0;
