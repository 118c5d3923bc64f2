-- Periodic chores that one worker does for all, and when each was last done.

CREATE TABLE spleeter_chores (
    name     text PRIMARY KEY,
    done_at  timestamptz NOT NULL
);
