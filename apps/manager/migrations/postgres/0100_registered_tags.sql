-- Tags that the manager keeps for addresses, of a Kubernetes cluster or of none.
CREATE TABLE registered_tags (
    -- Name of the cluster; empty for tags that are of none.
    source  TEXT COLLATE "C" NOT NULL,
    address TEXT COLLATE "C" NOT NULL,
    -- JSON: when each tag ends, in seconds since the Unix epoch, or null.
    tags    TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (source, address)
);

-- Kubernetes clusters whose controller has been here.
CREATE TABLE kubernetes_clusters (
    name       TEXT COLLATE "C" PRIMARY KEY,
    -- 0 for none.
    cluster_id BIGINT NOT NULL,
    -- Which process it is that tells.
    controller TEXT COLLATE "C" NOT NULL,
    -- Seconds after which its tags go when it is silent.
    ttl_s      BIGINT NOT NULL,
    seen_us    BIGINT NOT NULL
);
