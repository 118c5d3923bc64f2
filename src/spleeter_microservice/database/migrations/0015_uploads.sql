-- Resumable uploads. Their parts are objects below resumable-uploads/ID; those that belong to an upload have a position in it.

CREATE TABLE spleeter_uploads (
    id           uuid PRIMARY KEY,
    tenant       text NOT NULL,
    length       bigint NOT NULL,
    received     bigint NOT NULL DEFAULT 0,
    parts        int NOT NULL DEFAULT 0,
    metadata     text NOT NULL,  -- as the client sent it, and so is concat
    concat       text NOT NULL,
    partials     uuid[] NOT NULL,  -- uploads that it consists of, if it has no parts of its own
    fence        bigint NOT NULL DEFAULT 0,  -- grows with each lock
    locked_until timestamptz NOT NULL DEFAULT 'epoch',
    expires_at   timestamptz NOT NULL  -- the epoch once it is deleted
);

CREATE INDEX spleeter_uploads_expiry ON spleeter_uploads (expires_at);

ALTER TABLE spleeter_objects ADD COLUMN position bigint;

LOCK TABLE spleeter_usage IN ACCESS EXCLUSIVE MODE;
ALTER TABLE spleeter_usage ADD COLUMN pending_uploads bigint NOT NULL DEFAULT 0;

-- The triggers of other tables leave out the last argument.
DROP FUNCTION spleeter_use(text, bigint, bigint, bigint, bigint);
CREATE FUNCTION spleeter_use(
    by_tenant text, more_jobs bigint, more_seconds bigint, more_bytes bigint, more_webhooks bigint,
    more_uploads bigint DEFAULT 0)
RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    IF (more_jobs, more_seconds, more_bytes, more_webhooks, more_uploads) = (0, 0, 0, 0, 0) THEN
        RETURN;
    END IF;
    INSERT INTO spleeter_usage AS used
    VALUES (by_tenant, more_jobs, more_seconds, more_bytes, more_webhooks, more_uploads)
    ON CONFLICT (tenant) DO UPDATE SET
        queued_jobs = used.queued_jobs + more_jobs,
        queued_seconds = used.queued_seconds + more_seconds,
        stored_bytes = used.stored_bytes + more_bytes,
        pending_webhooks = used.pending_webhooks + more_webhooks,
        pending_uploads = used.pending_uploads + more_uploads;
    DELETE FROM spleeter_usage
    WHERE tenant = by_tenant
      AND (queued_jobs, queued_seconds, stored_bytes, pending_webhooks, pending_uploads) = (0, 0, 0, 0, 0);
END;
$$;

CREATE FUNCTION spleeter_count_upload() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM spleeter_use(coalesce(NEW.tenant, OLD.tenant), 0, 0, 0, 0, CASE TG_OP WHEN 'INSERT' THEN 1 ELSE -1 END);
    RETURN NULL;
END;
$$;

CREATE TRIGGER spleeter_uploads_count
    AFTER INSERT OR DELETE ON spleeter_uploads
    FOR EACH ROW EXECUTE FUNCTION spleeter_count_upload();
