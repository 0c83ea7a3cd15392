-- JSON: generated objects that somebody edited and that are to stay so, by XPath, with the digest of what they were to be.
ALTER TABLE policy_clusters ADD COLUMN kept TEXT NOT NULL DEFAULT '{}';
