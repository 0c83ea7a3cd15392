-- The traffic log by slices; the newest is the one that is written to. Each has two tables of its own: records, and the
-- combinations of names that they refer to. Full slices have more indexes than this first one.
CREATE TABLE sliced_logs (
    number     BIGINT PRIMARY KEY,
    first_id   BIGINT NOT NULL,
    -- One less than the first while it is empty.
    last_id    BIGINT NOT NULL,
    -- When the records say they were made.
    oldest_us  BIGINT NOT NULL,
    newest_us  BIGINT NOT NULL,
    -- When they came.
    begun_us   BIGINT NOT NULL,
    written_us BIGINT NOT NULL,
    -- Of a full slice: what it takes on the disk, in bytes, and 1 once its indexes are there.
    bytes      BIGINT NOT NULL,
    indexed    BIGINT NOT NULL
);

CREATE TABLE slice_1_logs (
    id                   BIGINT PRIMARY KEY,
    received_us          BIGINT NOT NULL,
    generated_us         BIGINT NOT NULL,
    -- Which combination of names.
    words                BIGINT NOT NULL,
    -- 16 bytes in network order, IPv4 mapped, so that a prefix is a range; none when there is no address.
    source_key           BYTEA NOT NULL,
    destination_key      BYTEA NOT NULL,
    nat_source_key       BYTEA NOT NULL,
    nat_destination_key  BYTEA NOT NULL,
    session_id           BIGINT NOT NULL,
    source_port          BIGINT NOT NULL,
    destination_port     BIGINT NOT NULL,
    nat_source_port      BIGINT NOT NULL,
    nat_destination_port BIGINT NOT NULL,
    bytes_sent           BIGINT NOT NULL,
    bytes_received       BIGINT NOT NULL,
    packets_sent         BIGINT NOT NULL,
    packets_received     BIGINT NOT NULL,
    start_us             BIGINT NOT NULL,
    elapsed_s            BIGINT NOT NULL
);
CREATE INDEX slice_1_by_time ON slice_1_logs (generated_us);

CREATE TABLE slice_1_word_logs (
    word               BIGINT PRIMARY KEY,
    serial             TEXT COLLATE "C" NOT NULL,
    subtype            TEXT COLLATE "C" NOT NULL,
    rule               TEXT COLLATE "C" NOT NULL,
    nat_rule           TEXT COLLATE "C" NOT NULL,
    application        TEXT COLLATE "C" NOT NULL,
    from_zone          TEXT COLLATE "C" NOT NULL,
    to_zone            TEXT COLLATE "C" NOT NULL,
    inbound_interface  TEXT COLLATE "C" NOT NULL,
    outbound_interface TEXT COLLATE "C" NOT NULL,
    protocol           BIGINT NOT NULL,
    action             TEXT COLLATE "C" NOT NULL,
    session_end_reason TEXT COLLATE "C" NOT NULL
);

-- What was there is the first slice.
INSERT INTO slice_1_word_logs
SELECT row_number() OVER (), d.* FROM (
    SELECT DISTINCT serial, subtype, rule, nat_rule, application, from_zone, to_zone, inbound_interface,
        outbound_interface, protocol, action, session_end_reason FROM traffic_logs
) d;

INSERT INTO slice_1_logs
SELECT t.id, t.received_us, t.generated_us, w.word,
    CASE WHEN t.source = '' THEN ''::bytea ELSE t.source_key END,
    CASE WHEN t.destination = '' THEN ''::bytea ELSE t.destination_key END,
    CASE WHEN t.nat_source = '' THEN ''::bytea ELSE t.nat_source_key END,
    CASE WHEN t.nat_destination = '' THEN ''::bytea ELSE t.nat_destination_key END,
    t.session_id, t.source_port, t.destination_port, t.nat_source_port, t.nat_destination_port, t.bytes_sent,
    t.bytes_received, t.packets_sent, t.packets_received, t.start_us, t.elapsed_s
FROM traffic_logs t JOIN slice_1_word_logs w ON w.serial = t.serial AND w.subtype = t.subtype AND w.rule = t.rule
    AND w.nat_rule = t.nat_rule AND w.application = t.application AND w.from_zone = t.from_zone
    AND w.to_zone = t.to_zone AND w.inbound_interface = t.inbound_interface
    AND w.outbound_interface = t.outbound_interface AND w.protocol = t.protocol AND w.action = t.action
    AND w.session_end_reason = t.session_end_reason;

INSERT INTO sliced_logs
SELECT 1, min(id), max(id), min(generated_us), max(generated_us), min(received_us), max(received_us), 0, 0
FROM traffic_logs HAVING count(*) > 0;

DROP TABLE traffic_logs;
