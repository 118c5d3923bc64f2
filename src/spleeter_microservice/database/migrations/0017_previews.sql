-- How far the previews of a job's outputs reach, as JSON: what the current attempt, or the one that succeeded, has
-- stored. Every attempt makes its own, so this is cleared when the fence moves.

ALTER TABLE spleeter_jobs ADD COLUMN preview jsonb;
ALTER TABLE spleeter_events ADD COLUMN preview jsonb;

CREATE FUNCTION spleeter_forget_preview() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.preview := NULL;
    RETURN NEW;
END;
$$;

CREATE TRIGGER spleeter_jobs_forget_preview
    BEFORE UPDATE OF fence ON spleeter_jobs
    FOR EACH ROW WHEN (NEW.fence <> OLD.fence) EXECUTE FUNCTION spleeter_forget_preview();

CREATE OR REPLACE FUNCTION spleeter_record_event() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    what text := 'state';
    number bigint;
BEGIN
    IF TG_OP = 'UPDATE' THEN
        IF NEW.deleted AND NOT OLD.deleted THEN
            PERFORM pg_notify('spleeter_jobs', json_build_object(
                'job', NEW.id, 'state', 'deleted', 'progress', NEW.progress)::text);
            RETURN NULL;
        ELSIF NEW.state = OLD.state AND NEW.progress = OLD.progress AND NEW.preview IS NOT DISTINCT FROM OLD.preview THEN
            RETURN NULL;
        ELSIF NEW.state = OLD.state THEN
            what := 'progress';
        END IF;
        DELETE FROM spleeter_events WHERE job_id = NEW.id AND kind = 'progress';
    END IF;
    INSERT INTO spleeter_events (job_id, kind, state, progress, preview)
        VALUES (NEW.id, what, NEW.state, NEW.progress, NEW.preview) RETURNING id INTO number;
    PERFORM pg_notify('spleeter_jobs', json_build_object(
        'job', NEW.id, 'state', NEW.state, 'progress', NEW.progress, 'event', number,
        'warned', NEW.warnings <> '[]', 'preview', NEW.preview)::text);
    RETURN NULL;
END;
$$;

DROP TRIGGER spleeter_jobs_record_event ON spleeter_jobs;
CREATE TRIGGER spleeter_jobs_record_event
    AFTER INSERT OR UPDATE OF state, progress, deleted, preview ON spleeter_jobs
    FOR EACH ROW EXECUTE FUNCTION spleeter_record_event();
