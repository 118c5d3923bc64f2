-- The models of all workers, known even while no worker runs, and the model of each job. A worker
-- registers only after it has separated the reference clip correctly.

ALTER TABLE spleeter_workers ADD COLUMN models text[] NOT NULL DEFAULT '{}';

CREATE TABLE spleeter_models (
    name          text PRIMARY KEY,
    stems         text[] NOT NULL,
    installed     boolean NOT NULL,
    engine        text NOT NULL,
    bandwidth     text NOT NULL,
    quality       text NOT NULL,
    experimental  boolean NOT NULL,
    licence       text NOT NULL
);

ALTER TABLE spleeter_jobs
    ADD COLUMN engine text NOT NULL DEFAULT '',
    ADD COLUMN traceparent text;
