-- Events of jobs, for clients that follow them, and a notification of each event.
--
-- A trigger writes them, so that no statement can forget to. All events of a job are written under
-- the lock of its row, so their numbers are in the order of their commits. Only the last progress
-- event is kept.

CREATE TABLE spleeter_events (
    id        bigint PRIMARY KEY GENERATED ALWAYS AS IDENTITY,
    job_id    uuid NOT NULL REFERENCES spleeter_jobs ON DELETE CASCADE,
    kind      text NOT NULL CHECK (kind IN ('state', 'progress')),
    state     text NOT NULL,
    progress  real NOT NULL,
    at        timestamptz NOT NULL DEFAULT now()
);

CREATE INDEX spleeter_events_of_job ON spleeter_events (job_id, id);

CREATE FUNCTION spleeter_record_event() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    what text := 'state';
    number bigint;
BEGIN
    IF TG_OP = 'UPDATE' THEN
        IF NEW.deleted AND NOT OLD.deleted THEN
            PERFORM pg_notify('spleeter_jobs', json_build_object(
                'job', NEW.id, 'state', 'deleted', 'progress', NEW.progress)::text);
            RETURN NULL;
        ELSIF NEW.state = OLD.state AND NEW.progress = OLD.progress THEN
            RETURN NULL;
        ELSIF NEW.state = OLD.state THEN
            what := 'progress';
        END IF;
        DELETE FROM spleeter_events WHERE job_id = NEW.id AND kind = 'progress';
    END IF;
    INSERT INTO spleeter_events (job_id, kind, state, progress)
        VALUES (NEW.id, what, NEW.state, NEW.progress) RETURNING id INTO number;
    PERFORM pg_notify('spleeter_jobs', json_build_object(
        'job', NEW.id, 'state', NEW.state, 'progress', NEW.progress, 'event', number)::text);
    RETURN NULL;
END;
$$;

CREATE TRIGGER spleeter_jobs_record_event
    AFTER INSERT OR UPDATE OF state, progress, deleted ON spleeter_jobs
    FOR EACH ROW EXECUTE FUNCTION spleeter_record_event();

INSERT INTO spleeter_events (job_id, kind, state, progress, at)
    SELECT id, 'state', state, progress, coalesce(finished_at, started_at, created_at)
    FROM spleeter_jobs ORDER BY id;
