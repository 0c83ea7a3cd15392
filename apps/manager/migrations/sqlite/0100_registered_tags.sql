-- Tags that the manager keeps for addresses, of a Kubernetes cluster or of none.
CREATE TABLE registered_tags (
    -- Name of the cluster; empty for tags that are of none.
    source  TEXT NOT NULL,
    address TEXT NOT NULL,
    -- JSON: when each tag ends, in seconds since the Unix epoch, or null.
    tags    TEXT NOT NULL,
    PRIMARY KEY (source, address)
) STRICT;

-- Kubernetes clusters whose controller has been here.
CREATE TABLE kubernetes_clusters (
    name       TEXT PRIMARY KEY,
    -- 0 for none.
    cluster_id INTEGER NOT NULL,
    -- Which process it is that tells.
    controller TEXT NOT NULL,
    -- Seconds after which its tags go when it is silent.
    ttl_s      INTEGER NOT NULL,
    seen_us    INTEGER NOT NULL
) STRICT;
