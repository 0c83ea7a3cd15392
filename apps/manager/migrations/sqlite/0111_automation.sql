-- Playbooks, each version as it was written. The newest one is used.
CREATE TABLE automation_playbooks (
    name    TEXT NOT NULL,
    version INTEGER NOT NULL,
    -- Empty for those of the program.
    author  TEXT NOT NULL,
    time_us INTEGER NOT NULL,
    text    TEXT NOT NULL,
    PRIMARY KEY (name, version)
) STRICT;

-- Runs of playbooks.
CREATE TABLE automation_runs (
    id          INTEGER PRIMARY KEY AUTOINCREMENT,
    cluster     TEXT NOT NULL,
    playbook    TEXT NOT NULL,
    version     INTEGER NOT NULL,
    -- running, waiting, failed, done, superseded, rejected
    state       TEXT NOT NULL,
    -- The task that is done, waits or failed.
    task        TEXT NOT NULL,
    -- Whose change it is, or who asked for it.
    requester   TEXT NOT NULL,
    -- JSON: what it is about.
    inputs      TEXT NOT NULL,
    started_us  INTEGER NOT NULL,
    finished_us INTEGER,
    error       TEXT NOT NULL
) STRICT;
CREATE INDEX automation_runs_open ON automation_runs (cluster, state);

-- Each task that a run did, each time.
CREATE TABLE automation_steps (
    run         INTEGER NOT NULL,
    number      INTEGER NOT NULL,
    task        TEXT NOT NULL,
    -- running, waiting, failed, done
    state       TEXT NOT NULL,
    -- JSON.
    inputs      TEXT NOT NULL,
    outputs     TEXT NOT NULL,
    started_us  INTEGER NOT NULL,
    finished_us INTEGER,
    error       TEXT NOT NULL,
    PRIMARY KEY (run, number)
) STRICT;

-- What happened that a run answers, or a person should.
CREATE TABLE automation_incidents (
    id        INTEGER PRIMARY KEY AUTOINCREMENT,
    cluster   TEXT NOT NULL,
    -- policy-created, policy-changed, policy-deleted, cluster-changed, drift
    type      TEXT NOT NULL,
    -- info, warning, error
    severity  TEXT NOT NULL,
    -- open, waiting, failed, closed
    status    TEXT NOT NULL,
    owner     TEXT NOT NULL,
    -- Which object it is about.
    subject   TEXT NOT NULL,
    message   TEXT NOT NULL,
    run       INTEGER NOT NULL,
    opened_us INTEGER NOT NULL,
    closed_us INTEGER
) STRICT;
CREATE INDEX automation_incidents_run ON automation_incidents (run);
CREATE INDEX automation_incidents_open ON automation_incidents (cluster, status);

-- What was done and said about incidents.
CREATE TABLE automation_timeline (
    id       INTEGER PRIMARY KEY AUTOINCREMENT,
    incident INTEGER NOT NULL,
    time_us  INTEGER NOT NULL,
    who      TEXT NOT NULL,
    -- comment, owner, severity, status, run
    kind     TEXT NOT NULL,
    text     TEXT NOT NULL
) STRICT;
CREATE INDEX automation_timeline_incident ON automation_timeline (incident);
