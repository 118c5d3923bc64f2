-- One row per job: what was requested, its progress and its result.
--
-- entry_id is the job's entry in Procrastinate's queue, from the job's creation until no worker holds
-- it. It has no foreign key: both rows always change in one transaction, and a key would only add locks.

CREATE TABLE spleeter_jobs (
    id               uuid PRIMARY KEY,
    tenant           text NOT NULL,
    state            text NOT NULL CHECK (state IN ('queued', 'running', 'succeeded', 'failed', 'cancelled')),
    progress         real NOT NULL DEFAULT 0 CHECK (progress BETWEEN 0 AND 1),
    options          jsonb NOT NULL,
    options_hash     text NOT NULL,
    prefix           text NOT NULL,
    input_key        text NOT NULL,
    input_name       text NOT NULL,
    audio_seconds    double precision NOT NULL CHECK (audio_seconds >= 0),
    content_hash     text NOT NULL,
    priority         integer NOT NULL DEFAULT 0 CHECK (priority BETWEEN -2 AND 3),
    virtual_start    bigint NOT NULL DEFAULT 0,
    virtual_finish   bigint NOT NULL DEFAULT 0,
    entry_id         bigint UNIQUE,
    owner            bigint,
    fence            bigint NOT NULL DEFAULT 0,
    attempts         integer NOT NULL DEFAULT 0,
    deaths           integer NOT NULL DEFAULT 0,
    error_type       text,
    error_message    text,
    result           jsonb,
    retention        interval NOT NULL,
    idempotency_key  text,
    body_hash        text,
    request_id       text,
    deleted          boolean NOT NULL DEFAULT false,
    created_at       timestamptz NOT NULL DEFAULT now(),
    started_at       timestamptz,
    finished_at      timestamptz,
    expires_at       timestamptz
);

CREATE UNIQUE INDEX spleeter_jobs_idempotency ON spleeter_jobs (tenant, idempotency_key)
    WHERE idempotency_key IS NOT NULL;
CREATE INDEX spleeter_jobs_pages ON spleeter_jobs (tenant, id DESC) WHERE NOT deleted;
CREATE INDEX spleeter_jobs_waiting ON spleeter_jobs (state, tenant) WHERE state IN ('queued', 'running');
CREATE INDEX spleeter_jobs_results ON spleeter_jobs (tenant, content_hash, options_hash)
    WHERE state = 'succeeded' AND NOT deleted;
CREATE INDEX spleeter_jobs_finished ON spleeter_jobs (finished_at DESC) WHERE state = 'succeeded';
CREATE INDEX spleeter_jobs_expiry ON spleeter_jobs (expires_at) WHERE expires_at IS NOT NULL;
CREATE INDEX spleeter_jobs_deleted ON spleeter_jobs (id) WHERE deleted;
CREATE INDEX spleeter_jobs_prefix ON spleeter_jobs (prefix);
