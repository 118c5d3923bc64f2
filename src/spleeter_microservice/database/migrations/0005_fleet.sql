-- The models of the fleet, which are known also while no worker is there, and what a job is
-- separated with. A worker is registered only after the known clip came out right.

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
