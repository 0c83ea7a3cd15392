-- The last push to each device, and what became of it.
CREATE TABLE pushes (
    serial           TEXT COLLATE "C" PRIMARY KEY,
    push_id          BIGINT NOT NULL,
    -- What it brings, and what the device had before.
    policy_version   BIGINT NOT NULL,
    template_version BIGINT NOT NULL,
    digest           TEXT COLLATE "C" NOT NULL,
    policy_before    BIGINT,
    template_before  BIGINT,
    digest_before    TEXT COLLATE "C" NOT NULL,
    started_us       BIGINT NOT NULL,
    -- sent, confirmed, reverted
    state            TEXT COLLATE "C" NOT NULL
);
