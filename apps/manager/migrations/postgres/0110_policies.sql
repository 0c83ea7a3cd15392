-- What Kubernetes clusters want by their policies, as their controllers told it last.
CREATE TABLE policy_clusters (
    name            TEXT COLLATE "C" PRIMARY KEY,
    -- Another one after every change of this row or of a policy.
    version         BIGINT NOT NULL,
    -- JSON: all of it.
    told            TEXT COLLATE "C" NOT NULL,
    told_by         TEXT COLLATE "C" NOT NULL,
    told_us         BIGINT NOT NULL,
    -- JSON: what was taken up last; what differs from `told` is still to be done.
    taken           TEXT COLLATE "C",
    taken_by        TEXT COLLATE "C" NOT NULL,
    -- SHA-256, hex, of the settings and the catalogue that were used then.
    basis           TEXT COLLATE "C" NOT NULL,
    -- The state that is enforced on all devices, in the controller's word for it.
    enforced_digest TEXT COLLATE "C" NOT NULL,
    -- The device group with the generated objects; empty when there are none.
    placed          TEXT COLLATE "C" NOT NULL,
    -- The version of the configuration that a run committed last; 0 for none.
    committed       BIGINT NOT NULL,
    -- The run that brings it about; 0 for none.
    run             BIGINT NOT NULL
);

-- What became of each policy.
CREATE TABLE policy_states (
    cluster   TEXT COLLATE "C" NOT NULL,
    kind      TEXT COLLATE "C" NOT NULL,
    -- Empty for policies of whole clusters.
    namespace TEXT COLLATE "C" NOT NULL,
    name      TEXT COLLATE "C" NOT NULL,
    -- JSON.
    state     TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (cluster, kind, namespace, name)
);
