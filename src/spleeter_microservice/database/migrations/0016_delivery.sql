-- Webhooks report whether the stems were written to the destination that the caller named.

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
                'delivered', CASE WHEN NEW.options->>'destination_url' IS NOT NULL THEN
                    NEW.result->'details'->'delivered' END,
                'error', CASE WHEN NEW.error_type IS NULL THEN NULL ELSE
                    jsonb_build_object('type', '/problems/' || NEW.error_type, 'message', NEW.error_message) END,
                'request_id', NEW.request_id)));
    RETURN NULL;
END;
$$;
