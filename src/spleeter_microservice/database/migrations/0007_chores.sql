-- What one worker of the fleet does now and then for all, and when it was done last.

CREATE TABLE spleeter_chores (
    name     text PRIMARY KEY,
    done_at  timestamptz NOT NULL
);
