-- What is odd about a song that was separated nevertheless; webhooks report it too.
ALTER TABLE spleeter_jobs ADD COLUMN warnings jsonb NOT NULL DEFAULT '[]';

-- Whether a deleted job's objects are erased. Its row stays until the webhook about its cancellation is sent.
ALTER TABLE spleeter_jobs ADD COLUMN erased boolean NOT NULL DEFAULT false;

-- Notifications say whether there are warnings, so that no subscriber of a job without any has to look.
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
        'job', NEW.id, 'state', NEW.state, 'progress', NEW.progress, 'event', number,
        'warned', NEW.warnings <> '[]')::text);
    RETURN NULL;
END;
$$;

CREATE OR REPLACE FUNCTION spleeter_note_webhook() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO spleeter_webhooks (job_id, url, event) VALUES (
        NEW.id,
        NEW.options->>'callback_url',
        jsonb_build_object(
            'type', 'separation.' || NEW.state,
            'timestamp', to_char(NEW.finished_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'),
            'data', jsonb_build_object(
                'id', NEW.id,
                'state', NEW.state,
                'metadata', coalesce(NEW.options->'metadata', '{}'),
                'model', NEW.result->'model',
                'stems', coalesce(
                    (SELECT jsonb_agg(stem->'name' ORDER BY number)
                     FROM jsonb_array_elements(NEW.result->'stems') WITH ORDINALITY AS stems (stem, number)),
                    '[]'),
                'warnings', NEW.warnings,
                'error', CASE WHEN NEW.error_type IS NULL THEN NULL ELSE
                    jsonb_build_object('type', '/problems/' || NEW.error_type, 'message', NEW.error_message) END,
                'request_id', NEW.request_id)));
    RETURN NULL;
END;
$$;
