-- What Procrastinate does not store about a worker. Its own table has the heartbeats.

CREATE TABLE spleeter_workers (
    id     bigint PRIMARY KEY REFERENCES procrastinate_workers ON DELETE CASCADE,
    name   text NOT NULL,
    slots  integer NOT NULL CHECK (slots > 0)
);
