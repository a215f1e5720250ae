-- The run log: one row for each execution of the RunActivity workflow. Written once when it starts and once when it ends.
--
-- The same files serve SQLite and Postgres, so only TEXT and BIGINT are used. Times are microseconds since 1970-01-01 UTC; in
-- Postgres `to_timestamp(fired_at / 1e6)`, in SQLite `datetime(fired_at / 1000000, 'unixepoch')` shows them.

CREATE TABLE runs (
    run_id           TEXT   NOT NULL PRIMARY KEY, -- Temporal's id of the run
    workflow_id      TEXT   NOT NULL,
    namespace        TEXT   NOT NULL,             -- Flintwheel's, not Temporal's
    activity_id      TEXT   NOT NULL,             -- the activity definition's id
    incarnation      TEXT   NOT NULL,             -- tells a definition from its predecessor of the same id
    version_used     BIGINT NOT NULL,             -- of the definition
    trigger_kind     TEXT   NOT NULL,             -- time, event, manual
    scheduled_for    BIGINT NOT NULL,
    fired_at         BIGINT NOT NULL,
    started_at       BIGINT NOT NULL,
    ended_at         BIGINT,                      -- NULL while it runs
    status           TEXT   NOT NULL,             -- running, completed, failed, cancelled
    error            TEXT,                        -- why it failed
    context_snapshot TEXT   NOT NULL,             -- JSON object: what the context sources yielded
    tasks_spawned    TEXT   NOT NULL              -- JSON array: name, kind, type, id, status, detail
);

CREATE INDEX runs_of_definition ON runs (namespace, activity_id, fired_at, run_id);
CREATE INDEX runs_by_time ON runs (fired_at, run_id);
