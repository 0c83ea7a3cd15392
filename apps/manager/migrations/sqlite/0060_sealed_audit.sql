-- Each line of the config log is sealed together with the seal of the line before it. Lines of before have none.
ALTER TABLE audit ADD COLUMN seal TEXT NOT NULL DEFAULT '';
