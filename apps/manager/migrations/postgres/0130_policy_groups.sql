-- Groups that rules of a cluster's policies speak of, or spoke of.
CREATE TABLE policy_groups (
    cluster  TEXT COLLATE "C" NOT NULL,
    -- The tag of its members.
    tag      TEXT COLLATE "C" NOT NULL,
    -- JSON: who belongs to it.
    members  TEXT COLLATE "C" NOT NULL,
    -- 1 while a firewall may have rules that speak of it.
    in_force BIGINT NOT NULL,
    PRIMARY KEY (cluster, tag)
);
