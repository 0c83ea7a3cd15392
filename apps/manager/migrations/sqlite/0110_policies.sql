-- What Kubernetes clusters want by their policies, as their controllers told it last.
CREATE TABLE policy_clusters (
    name            TEXT PRIMARY KEY,
    -- Another one after every change of this row or of a policy.
    version         INTEGER NOT NULL,
    -- JSON: all of it.
    told            TEXT NOT NULL,
    told_by         TEXT NOT NULL,
    told_us         INTEGER NOT NULL,
    -- JSON: what was taken up last; what differs from `told` is still to be done.
    taken           TEXT,
    taken_by        TEXT NOT NULL,
    -- SHA-256, hex, of the settings and the catalogue that were used then.
    basis           TEXT NOT NULL,
    -- The state that is enforced on all devices, in the controller's word for it.
    enforced_digest TEXT NOT NULL,
    -- The device group with the generated objects; empty when there are none.
    placed          TEXT NOT NULL,
    -- The version of the configuration that a run committed last; 0 for none.
    committed       INTEGER NOT NULL,
    -- The run that brings it about; 0 for none.
    run             INTEGER NOT NULL
) STRICT;

-- What became of each policy.
CREATE TABLE policy_states (
    cluster   TEXT NOT NULL,
    kind      TEXT NOT NULL,
    -- Empty for policies of whole clusters.
    namespace TEXT NOT NULL,
    name      TEXT NOT NULL,
    -- JSON.
    state     TEXT NOT NULL,
    PRIMARY KEY (cluster, kind, namespace, name)
) STRICT;
