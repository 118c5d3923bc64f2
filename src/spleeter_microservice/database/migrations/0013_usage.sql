-- What each tenant holds of the service: its queue, its objects and its webhooks. Tenants without any have no row.
--
-- Triggers count, so that no statement can forget to, nor processes of an older version. A transaction takes the
-- lock of the row last: after those of queue entries, jobs, objects and webhooks.

CREATE TABLE spleeter_usage (
    tenant            text PRIMARY KEY,
    queued_jobs       bigint NOT NULL,
    queued_seconds    bigint NOT NULL,
    stored_bytes      bigint NOT NULL,  -- of objects and metadata, and of the stems that unfinished jobs will have
    pending_webhooks  bigint NOT NULL   -- also those that unfinished jobs will send
);

CREATE FUNCTION spleeter_use(
    by_tenant text, more_jobs bigint, more_seconds bigint, more_bytes bigint, more_webhooks bigint)
RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    IF (more_jobs, more_seconds, more_bytes, more_webhooks) = (0, 0, 0, 0) THEN
        RETURN;
    END IF;
    INSERT INTO spleeter_usage AS used VALUES (by_tenant, more_jobs, more_seconds, more_bytes, more_webhooks)
    ON CONFLICT (tenant) DO UPDATE SET
        queued_jobs = used.queued_jobs + more_jobs,
        queued_seconds = used.queued_seconds + more_seconds,
        stored_bytes = used.stored_bytes + more_bytes,
        pending_webhooks = used.pending_webhooks + more_webhooks;
    DELETE FROM spleeter_usage
    WHERE tenant = by_tenant
      AND (queued_jobs, queued_seconds, stored_bytes, pending_webhooks) = (0, 0, 0, 0);
END;
$$;

LOCK TABLE spleeter_jobs, spleeter_objects, spleeter_webhooks IN SHARE ROW EXCLUSIVE MODE;

ALTER TABLE spleeter_jobs ADD COLUMN expected_bytes bigint NOT NULL DEFAULT 0;
ALTER TABLE spleeter_objects
    ADD COLUMN tenant text NOT NULL DEFAULT '',
    ADD COLUMN bytes bigint NOT NULL DEFAULT 0;
ALTER TABLE spleeter_webhooks ADD COLUMN tenant text NOT NULL DEFAULT '';

UPDATE spleeter_webhooks SET tenant = job.tenant FROM spleeter_jobs AS job WHERE job.id = job_id;
-- The sizes of songs and peaks that are stored already are unknown; they are a small part, and expire.
UPDATE spleeter_objects AS object SET tenant = stored.tenant, bytes = stored.bytes
FROM (SELECT DISTINCT tenant, stem->>'key' AS key, coalesce((stem->>'size')::bigint, 0) AS bytes
      FROM spleeter_jobs CROSS JOIN jsonb_array_elements(result->'stems') AS stem) AS stored
WHERE object.key = stored.key;

-- What a job uses: queued jobs, queued seconds, bytes of its metadata and its expected stems, webhooks.
CREATE FUNCTION spleeter_use_of_job(job spleeter_jobs) RETURNS bigint[] LANGUAGE sql IMMUTABLE AS $$
    SELECT CASE
        WHEN job.state = 'queued' THEN ARRAY[1, ceil(job.audio_seconds)::bigint, texts + job.expected_bytes, hooks]
        WHEN job.state = 'running' THEN ARRAY[0, 0, texts + job.expected_bytes, hooks]
        ELSE ARRAY[0, 0, texts, 0] END
    FROM (SELECT octet_length(job.options::text) AS texts, count(job.options->>'callback_url') AS hooks) AS counted
$$;

CREATE FUNCTION spleeter_count_job() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    was bigint[] := '{0, 0, 0, 0}';
    used bigint[] := '{0, 0, 0, 0}';
BEGIN
    IF TG_OP <> 'INSERT' THEN
        was := spleeter_use_of_job(OLD);
    END IF;
    IF TG_OP <> 'DELETE' THEN
        used := spleeter_use_of_job(NEW);
    END IF;
    PERFORM spleeter_use(
        coalesce(NEW.tenant, OLD.tenant),
        used[1] - was[1], used[2] - was[2], used[3] - was[3], used[4] - was[4]);
    RETURN NULL;
END;
$$;

CREATE FUNCTION spleeter_count_object() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP <> 'INSERT' THEN
        PERFORM spleeter_use(OLD.tenant, 0, 0, -OLD.bytes, 0);
    END IF;
    IF TG_OP <> 'DELETE' THEN
        PERFORM spleeter_use(NEW.tenant, 0, 0, NEW.bytes, 0);
    END IF;
    RETURN NULL;
END;
$$;

CREATE FUNCTION spleeter_name_tenant_of_webhook() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    SELECT tenant INTO NEW.tenant FROM spleeter_jobs WHERE id = NEW.job_id;
    RETURN NEW;
END;
$$;

CREATE FUNCTION spleeter_count_webhook() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM spleeter_use(coalesce(NEW.tenant, OLD.tenant), 0, 0, 0,
        coalesce((NEW.state = 'pending')::int, 0) - coalesce((OLD.state = 'pending')::int, 0));
    RETURN NULL;
END;
$$;

INSERT INTO spleeter_usage
SELECT tenant, sum(jobs), sum(seconds), sum(bytes), sum(webhooks)
FROM (
    SELECT tenant, used[1], used[2], used[3], used[4]
    FROM spleeter_jobs AS job CROSS JOIN spleeter_use_of_job(job) AS used
    UNION ALL
    SELECT tenant, 0, 0, bytes, 0 FROM spleeter_objects
    UNION ALL
    SELECT tenant, 0, 0, 0, 1 FROM spleeter_webhooks WHERE state = 'pending') AS held (tenant, jobs, seconds, bytes, webhooks)
GROUP BY tenant
HAVING (sum(jobs), sum(seconds), sum(bytes), sum(webhooks)) <> (0, 0, 0, 0);

CREATE TRIGGER spleeter_jobs_count
    AFTER INSERT OR DELETE OR UPDATE OF state ON spleeter_jobs
    FOR EACH ROW EXECUTE FUNCTION spleeter_count_job();
CREATE TRIGGER spleeter_objects_count
    AFTER INSERT OR DELETE OR UPDATE OF bytes ON spleeter_objects
    FOR EACH ROW EXECUTE FUNCTION spleeter_count_object();
CREATE TRIGGER spleeter_webhooks_name_tenant
    BEFORE INSERT ON spleeter_webhooks
    FOR EACH ROW EXECUTE FUNCTION spleeter_name_tenant_of_webhook();
CREATE TRIGGER spleeter_webhooks_count
    AFTER INSERT OR DELETE OR UPDATE OF state ON spleeter_webhooks
    FOR EACH ROW EXECUTE FUNCTION spleeter_count_webhook();
