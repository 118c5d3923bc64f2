-- Webhooks to send when jobs end. A trigger writes them in the transaction that ends the job; workers
-- send them. Erasing a job erases its webhooks.

CREATE TABLE spleeter_webhooks (
    id               text PRIMARY KEY DEFAULT 'msg_' || replace(gen_random_uuid()::text, '-', ''),
    job_id           uuid NOT NULL REFERENCES spleeter_jobs ON DELETE CASCADE,
    url              text NOT NULL,
    event            jsonb NOT NULL,
    state            text NOT NULL DEFAULT 'pending' CHECK (state IN ('pending', 'delivered', 'failed')),
    attempts         integer NOT NULL DEFAULT 0,
    last_status      integer,
    last_error       text,
    next_attempt_at  timestamptz DEFAULT now(),
    delivered_at     timestamptz,
    created_at       timestamptz NOT NULL DEFAULT now()
);

CREATE INDEX spleeter_webhooks_due ON spleeter_webhooks (next_attempt_at) WHERE state = 'pending';
CREATE INDEX spleeter_webhooks_of_job ON spleeter_webhooks (job_id);

CREATE FUNCTION spleeter_note_webhook() RETURNS trigger LANGUAGE plpgsql AS $$
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
                'error', CASE WHEN NEW.error_type IS NULL THEN NULL ELSE
                    jsonb_build_object('type', '/problems/' || NEW.error_type, 'message', NEW.error_message) END,
                'request_id', NEW.request_id)));
    RETURN NULL;
END;
$$;

CREATE TRIGGER spleeter_jobs_note_webhook_of_change
    AFTER UPDATE OF state ON spleeter_jobs FOR EACH ROW
    WHEN (OLD.state IS DISTINCT FROM NEW.state AND NEW.state IN ('succeeded', 'failed', 'cancelled')
          AND NEW.options->>'callback_url' IS NOT NULL)
    EXECUTE FUNCTION spleeter_note_webhook();

CREATE TRIGGER spleeter_jobs_note_webhook_of_reuse
    AFTER INSERT ON spleeter_jobs FOR EACH ROW
    WHEN (NEW.state IN ('succeeded', 'failed', 'cancelled') AND NEW.options->>'callback_url' IS NOT NULL)
    EXECUTE FUNCTION spleeter_note_webhook();
