-- A worker that runs, but has a slot that stalls, is not ready.

ALTER TABLE spleeter_workers ADD COLUMN ready boolean NOT NULL DEFAULT true;
