-- Groups that rules of a cluster's policies speak of, or spoke of.
CREATE TABLE policy_groups (
    cluster  TEXT NOT NULL,
    -- The tag of its members.
    tag      TEXT NOT NULL,
    -- JSON: who belongs to it.
    members  TEXT NOT NULL,
    -- 1 while a firewall may have rules that speak of it.
    in_force INTEGER NOT NULL,
    PRIMARY KEY (cluster, tag)
) STRICT;
