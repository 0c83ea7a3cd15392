-- A version is a whole text, or the version before it with the edits that were committed. Its digest is that of the
-- text, or is made of the digest of the version before and the edits; it stays when a text is added later.
CREATE TABLE version_texts (
    version INTEGER PRIMARY KEY,
    -- SHA-256, hex, of `text`.
    digest  TEXT NOT NULL,
    text    TEXT NOT NULL
) STRICT;
INSERT INTO version_texts (version, digest, text) SELECT number, digest, configuration FROM versions;
ALTER TABLE versions DROP COLUMN configuration;

-- The edits of a version, in the order of their numbers, which are those that they had in the journal.
CREATE TABLE version_edits (
    id      INTEGER PRIMARY KEY,
    version INTEGER NOT NULL,
    time_us INTEGER NOT NULL,
    author  TEXT NOT NULL,
    edit    TEXT NOT NULL
) STRICT;
CREATE INDEX version_edits_by_version ON version_edits (version);
