-- Every statement on our own tables; Procrastinate's are in its package (jobs/queue.py).
-- Locks are always taken in this order: tenant, worker, queue entry, usage of all, job, usage of one tenant.

-- lock_tenant --
-- Allow one transaction at a time to create or delete jobs of a tenant
SELECT pg_advisory_xact_lock(hashtextextended('spleeter tenant ' || %(tenant)s, 0));

-- lock_entry --
-- Lock a queue entry
SELECT id FROM procrastinate_jobs WHERE id = %(entry)s FOR UPDATE;

-- lock_entry_of_job --
-- Lock a job's queue entry, if it has one
SELECT id FROM procrastinate_jobs
WHERE id = (SELECT entry_id FROM spleeter_jobs WHERE id = %(job)s AND tenant = %(tenant)s)
FOR UPDATE;

-- lock_entry_held --
-- Lock the queue entry of a job that is held under this fence
SELECT id FROM procrastinate_jobs
WHERE id = (SELECT entry_id FROM spleeter_jobs WHERE id = %(job)s AND fence = %(fence)s AND owner IS NOT NULL)
FOR UPDATE;

-- lock_stalled_entry --
-- Lock a queue entry that is still being processed, unless another process holds the lock
SELECT id FROM procrastinate_jobs
WHERE id = %(entry)s AND status = 'doing' AND worker_id IS NOT DISTINCT FROM %(worker)s
FOR UPDATE SKIP LOCKED;

-- release_expired_key --
-- Release a tenant's idempotency key from a job that has expired, but is not erased yet
UPDATE spleeter_jobs SET idempotency_key = NULL
WHERE tenant = %(tenant)s AND idempotency_key = %(idempotency_key)s AND expires_at <= now();

-- find_by_idempotency_key --
-- Find the job created with a tenant's idempotency key
SELECT * FROM spleeter_jobs WHERE tenant = %(tenant)s AND idempotency_key = %(idempotency_key)s;

-- find_result --
-- Find a succeeded job of the tenant with the same audio and options: the one that expires last
SELECT * FROM spleeter_jobs
WHERE tenant = %(tenant)s AND content_hash = %(content_hash)s AND options_hash = %(options_hash)s
  AND state = 'succeeded' AND NOT deleted AND expires_at > now()
ORDER BY expires_at DESC LIMIT 1;

-- find_virtual_start --
-- Compute when a new job starts in virtual time: now, but not before its tenant's earlier jobs end
SELECT greatest(
    coalesce(
        (SELECT max(virtual_start) FROM spleeter_jobs WHERE state = 'running'),
        (SELECT min(virtual_start) FROM spleeter_jobs WHERE state = 'queued'),
        0),
    (SELECT coalesce(max(virtual_finish), 0) FROM spleeter_jobs
     WHERE state IN ('queued', 'running') AND tenant = %(tenant)s)
) AS virtual_start;

-- insert_job --
-- Create a queued job
INSERT INTO spleeter_jobs (
    id, tenant, state, options, options_hash, prefix, input_key, input_name, audio_seconds, expected_bytes,
    content_hash, result_version, virtual_start, virtual_finish, entry_id, retention, idempotency_key, body_hash, request_id,
    traceparent)
VALUES (
    %(id)s, %(tenant)s, 'queued', %(options)s, %(options_hash)s, %(prefix)s, %(input_key)s, %(input_name)s,
    %(audio_seconds)s, %(expected_bytes)s, %(content_hash)s, %(result_version)s, %(virtual_start)s,
    %(virtual_finish)s, %(entry)s, %(retention)s, %(idempotency_key)s, %(body_hash)s, %(request_id)s, %(traceparent)s)
RETURNING *;

-- insert_reusing_job --
-- Create a job that reuses the result of another
INSERT INTO spleeter_jobs (
    id, tenant, state, progress, options, options_hash, prefix, input_key, input_name, audio_seconds,
    content_hash, result_version, result, warnings, fence, preview, retention, idempotency_key, body_hash, request_id,
    traceparent, started_at, finished_at, expires_at)
SELECT
    %(id)s, tenant, state, 1, %(options)s, options_hash, prefix, input_key, %(input_name)s, audio_seconds,
    content_hash, result_version, result, warnings, fence, preview, %(retention)s, %(idempotency_key)s,
    %(body_hash)s, %(request_id)s, %(traceparent)s, now(), now(), now() + %(retention)s
FROM spleeter_jobs WHERE id = %(source)s
RETURNING *;

-- get_job --
-- Get a tenant's job, unless it has expired; one that is being erased only if asked to
SELECT * FROM spleeter_jobs
WHERE id = %(job)s AND tenant = %(tenant)s
  AND CASE WHEN deleted THEN %(erasing)s AND NOT erased ELSE expires_at IS NULL OR expires_at > now() END;

-- list_jobs --
-- List a tenant's jobs that fit, in an order, from after a cursor; only the index of the order is read for those that
-- do not fit or are skipped
WITH page AS MATERIALIZED (
    SELECT id FROM spleeter_jobs
    WHERE tenant = %(tenant)s
      AND CASE WHEN deleted THEN NOT erased ELSE expires_at IS NULL OR expires_at > now() END
      AND (%(states)s::text[] = '{{}}' OR CASE WHEN deleted THEN 'erasing' ELSE state END = ANY(%(states)s))
      AND (%(search)s = '' OR strpos(search_name, spleeter_fold(%(search)s)) > 0) {after}
    ORDER BY {order} LIMIT %(limit)s OFFSET %(offset)s)
SELECT job.* FROM page JOIN spleeter_jobs AS job USING (id) ORDER BY {order};

-- count_jobs --
-- Count a tenant's jobs that fit
SELECT count(*) AS jobs FROM spleeter_jobs
WHERE tenant = %(tenant)s
  AND CASE WHEN deleted THEN NOT erased ELSE expires_at IS NULL OR expires_at > now() END
  AND (%(states)s::text[] = '{}' OR CASE WHEN deleted THEN 'erasing' ELSE state END = ANY(%(states)s))
  AND (%(search)s = '' OR strpos(search_name, spleeter_fold(%(search)s)) > 0);

-- lock_usage --
-- Allow one transaction at a time to check what all tenants use and to use more
SELECT pg_advisory_xact_lock(hashtextextended('spleeter usage', 0));

-- measure_usage --
-- Measure what a tenant uses, and what all tenants use
SELECT coalesce(sum(queued_jobs) FILTER (WHERE tenant = %(tenant)s), 0)::bigint AS queued_jobs,
       coalesce(sum(queued_seconds) FILTER (WHERE tenant = %(tenant)s), 0)::bigint AS queued_seconds,
       coalesce(sum(stored_bytes) FILTER (WHERE tenant = %(tenant)s), 0)::bigint AS stored_bytes,
       coalesce(sum(pending_webhooks) FILTER (WHERE tenant = %(tenant)s), 0)::bigint AS pending_webhooks,
       coalesce(sum(pending_uploads) FILTER (WHERE tenant = %(tenant)s), 0)::bigint AS pending_uploads,
       coalesce(sum(queued_jobs), 0)::bigint AS all_queued_jobs,
       coalesce(sum(queued_seconds), 0)::bigint AS all_queued_seconds,
       coalesce(sum(stored_bytes), 0)::bigint AS all_stored_bytes,
       coalesce(sum(pending_webhooks), 0)::bigint AS all_pending_webhooks,
       coalesce(sum(pending_uploads), 0)::bigint AS all_pending_uploads
FROM spleeter_usage;

-- list_events --
-- List a job's events after a given one
SELECT event.*, CASE WHEN event.state = 'succeeded' THEN job.warnings ELSE '[]' END AS warnings
FROM spleeter_events AS event JOIN spleeter_jobs AS job ON job.id = event.job_id
WHERE event.job_id = %(job)s AND job.tenant = %(tenant)s AND NOT job.deleted AND event.id > %(after)s
  AND (job.expires_at IS NULL OR job.expires_at > now())
ORDER BY event.id;

-- find_place --
-- Find the place of a queued job
SELECT entry.priority, entry.id AS entry, job.audio_seconds, job.result_version
FROM spleeter_jobs AS job JOIN procrastinate_jobs AS entry ON entry.id = job.entry_id
WHERE job.id = %(job)s AND job.tenant = %(tenant)s AND job.state = 'queued';

-- measure_ahead --
-- Measure the running jobs and the queued ones before a place, and the time that they and a second of audio take.
-- Each version of a model takes as long as in the last jobs, or as those of all models if it had none
WITH last_jobs AS (
    SELECT result_version, audio_seconds,
           extract(epoch FROM finished_at - started_at)::double precision AS seconds
    FROM spleeter_jobs WHERE state = 'succeeded' AND attempts > 0
    ORDER BY finished_at DESC LIMIT 200),
paces AS (
    SELECT result_version, sum(seconds) / nullif(sum(audio_seconds), 0) AS pace
    FROM last_jobs GROUP BY ROLLUP (result_version)),
ahead AS (
    SELECT job.state, job.audio_seconds * (1 - job.progress) AS audio_seconds, own.pace
    FROM spleeter_jobs AS job JOIN procrastinate_jobs AS entry ON entry.id = job.entry_id
    LEFT JOIN paces AS own USING (result_version)
    WHERE job.state IN ('queued', 'running')
      AND (job.state = 'running' OR (entry.priority, -entry.id) > (%(priority)s, -%(entry)s::bigint))),
total AS (SELECT pace FROM paces WHERE result_version IS NULL)
SELECT count(*) FILTER (WHERE state = 'queued') AS queued, count(state) AS jobs,
       coalesce(sum(audio_seconds), 0) AS audio_seconds,
       coalesce(sum(audio_seconds * coalesce(ahead.pace, total.pace)), 0) AS seconds,
       coalesce((SELECT pace FROM paces WHERE result_version = %(result_version)s), max(total.pace)) AS pace,
       (SELECT coalesce(sum(slots), 0) FROM spleeter_workers) AS slots
FROM total LEFT JOIN ahead ON true;

-- measure_queue --
-- Measure the queue for the metrics
SELECT count(*) FILTER (WHERE state = 'queued') AS queued,
       count(*) FILTER (WHERE state = 'running') AS running,
       coalesce(sum(audio_seconds) FILTER (WHERE state = 'queued'), 0) AS queued_audio_seconds,
       coalesce(extract(epoch FROM now() - min(created_at) FILTER (WHERE state = 'queued')), 0)::double precision
           AS oldest_seconds
FROM spleeter_jobs WHERE state IN ('queued', 'running');

-- cancel_job --
-- Cancel a job; a running one keeps its queue entry until its worker releases it
UPDATE spleeter_jobs
SET state = 'cancelled', finished_at = now(), expires_at = now() + retention,
    entry_id = CASE WHEN owner IS NULL THEN NULL ELSE entry_id END
WHERE id = %(job)s AND tenant = %(tenant)s AND NOT deleted AND state IN ('queued', 'running')
RETURNING *;

-- end_retention --
-- Have some of a tenant's jobs expire now that have ended
UPDATE spleeter_jobs SET expires_at = now() WHERE id IN (
    SELECT id FROM spleeter_jobs
    WHERE tenant = %(tenant)s AND id <= %(until)s AND NOT deleted AND expires_at > now() LIMIT 1000);

-- drop_webhooks --
-- Drop the webhooks of a job that were not delivered
DELETE FROM spleeter_webhooks WHERE job_id = %(job)s AND state = 'pending';

-- delete_job --
-- Hide a job; its objects and then its row are erased later
UPDATE spleeter_jobs SET deleted = true, idempotency_key = NULL
WHERE id = %(job)s AND tenant = %(tenant)s AND NOT deleted
RETURNING *;

-- list_expired --
-- List jobs that have expired
SELECT id, tenant FROM spleeter_jobs
WHERE expires_at <= now() AND NOT deleted AND state IN ('succeeded', 'failed', 'cancelled')
ORDER BY expires_at LIMIT %(limit)s;

-- list_erasable --
-- List deleted jobs to erase: no worker holds them, and no webhook if their objects are erased already.
-- Objects under a shared prefix are erased with the last of its jobs. The order is random, so that jobs whose
-- objects cannot be erased do not keep others waiting
SELECT job.*, EXISTS (
    SELECT FROM spleeter_jobs AS other WHERE other.prefix = job.prefix AND NOT other.deleted) AS shared
FROM spleeter_jobs AS job
WHERE job.deleted AND job.entry_id IS NULL AND (%(job)s::uuid IS NULL OR job.id = %(job)s)
  AND NOT (job.erased AND EXISTS (
      SELECT FROM spleeter_webhooks WHERE job_id = job.id AND spleeter_webhooks.state = 'pending'))
ORDER BY random() LIMIT %(limit)s;

-- keep_for_webhook --
-- Keep an erased job's row, without what it says about the song, until its webhook is delivered or given up
UPDATE spleeter_jobs SET erased = true, input_name = '', content_hash = ''
WHERE id = %(job)s AND deleted AND entry_id IS NULL
  AND EXISTS (SELECT FROM spleeter_webhooks AS webhook WHERE job_id = %(job)s AND webhook.state = 'pending');

-- forget_job --
-- Erase a deleted job's row and events
DELETE FROM spleeter_jobs WHERE id = %(job)s AND deleted AND entry_id IS NULL;

-- exists_job --
-- Check whether a job exists, deleted or not, whose objects are not erased
SELECT 1 AS there FROM spleeter_jobs WHERE id = %(job)s AND NOT erased;

-- list_known_prefixes --
-- List those of some object prefixes that belong to a job or an upload
SELECT prefix FROM spleeter_jobs WHERE prefix = ANY(%(prefixes)s)
UNION SELECT 'resumable-uploads/' || id FROM spleeter_uploads WHERE 'resumable-uploads/' || id = ANY(%(prefixes)s);

-- take_entry --
-- Take the first waiting queue entry of a job that needs only what a worker knows
UPDATE procrastinate_jobs SET status = 'doing', worker_id = %(worker)s
WHERE id = (
    SELECT id FROM procrastinate_jobs
    WHERE status = 'todo' AND queue_name = ANY(%(queues)s) AND (scheduled_at IS NULL OR scheduled_at <= now())
      AND coalesce(args->'needs', '[]') <@ %(known)s
    ORDER BY priority DESC, id LIMIT 1 FOR UPDATE SKIP LOCKED)
RETURNING *;

-- claim_job --
-- Claim a queued job for a worker
UPDATE spleeter_jobs
SET state = 'running', owner = %(worker)s, fence = fence + 1, attempts = attempts + 1, progress = 0,
    started_at = now()
WHERE id = %(job)s AND state = 'queued' AND entry_id = %(entry)s
RETURNING *;

-- record_progress --
-- Record a job's progress, if it is still held under this fence
UPDATE spleeter_jobs SET progress = %(progress)s, preview = %(preview)s
WHERE id = %(job)s AND fence = %(fence)s AND state = 'running'
RETURNING id;

-- publish_result --
-- Publish a job's result, if it is still held under this fence
UPDATE spleeter_jobs
SET state = 'succeeded', progress = 1, result = %(result)s, warnings = %(warnings)s, preview = %(preview)s,
    owner = NULL, entry_id = NULL,
    -- a file need not tell its length
    audio_seconds = coalesce((%(result)s::jsonb->'details'->>'duration')::double precision, audio_seconds),
    error_type = NULL, error_message = NULL, finished_at = now(), expires_at = now() + retention
WHERE id = %(job)s AND fence = %(fence)s AND state = 'running'
RETURNING id;

-- find_published --
-- Check whether the holder of a fence has published already
SELECT id FROM spleeter_jobs WHERE id = %(job)s AND fence = %(fence)s AND state = 'succeeded';

-- fail_job --
-- Mark a job failed, if it is still held under this fence
UPDATE spleeter_jobs
SET state = 'failed', error_type = %(error_type)s, error_message = %(error_message)s, owner = NULL,
    entry_id = NULL, crashes = crashes + %(crashed)s, finished_at = now(), expires_at = now() + retention
WHERE id = %(job)s AND fence = %(fence)s AND state = 'running'
RETURNING id;

-- count_other_crashes --
-- Count the other jobs whose process crashed recently: they have failed, or were requeued, since then
SELECT count(*) AS jobs FROM spleeter_jobs AS other
WHERE other.id <> %(job)s AND other.crashes > 0 AND EXISTS (
    SELECT FROM spleeter_events AS event
    WHERE event.job_id = other.id AND event.kind = 'state' AND event.state IN ('queued', 'failed')
      AND event.at > now() - %(seconds)s * interval '1 s');

-- requeue_job --
-- Requeue a job; the fence moves, so that its former holder can no longer change it
UPDATE spleeter_jobs
SET state = 'queued', progress = 0, owner = NULL, fence = fence + 1, crashes = crashes + %(crashed)s
WHERE id = %(job)s AND fence = %(fence)s AND state = 'running'
RETURNING id;

-- put_back_job --
-- Requeue a job for which the service lacks something, in another place
UPDATE spleeter_jobs
SET state = 'queued', progress = 0, owner = NULL, fence = fence + 1, virtual_start = %(start)s,
    virtual_finish = %(finish)s, waiting_for = %(lacking)s, waiting_since = coalesce(waiting_since, now())
WHERE id = %(job)s AND fence = %(fence)s AND state = 'running'
RETURNING id;

-- release_job --
-- Release a cancelled job
UPDATE spleeter_jobs SET owner = NULL, entry_id = NULL
WHERE id = %(job)s AND fence = %(fence)s AND state = 'cancelled'
RETURNING id;

-- find_job_of_entry --
-- Find the job of a queue entry, and lock it
SELECT * FROM spleeter_jobs WHERE entry_id = %(entry)s FOR UPDATE;

-- register_worker --
-- Record what Procrastinate does not store about a worker
INSERT INTO spleeter_workers (id, name, slots) VALUES (%(worker)s, %(name)s, %(slots)s);

-- lock_worker --
-- Check that a worker is registered, and keep it so until the transaction ends
SELECT id FROM procrastinate_workers WHERE id = %(worker)s FOR KEY SHARE;

-- note_readiness --
-- Record whether a worker is ready, if that has changed
UPDATE spleeter_workers SET ready = %(ready)s WHERE id = %(worker)s AND ready <> %(ready)s;

-- list_held --
-- List the jobs that a worker holds
SELECT id, fence, state FROM spleeter_jobs WHERE owner = %(worker)s;

-- add_key --
-- Store a new API key
INSERT INTO spleeter_keys (
    key_id, digest, tenant, scopes, name, created_at, expires_at, last_used_at, revoked_at)
VALUES (
    %(key_id)s, %(digest)s, %(tenant)s, %(scopes)s, %(name)s, %(created_at)s, %(expires_at)s, %(last_used_at)s,
    %(revoked_at)s);

-- find_key --
-- Find an API key by its hash
SELECT * FROM spleeter_keys WHERE digest = %(digest)s;

-- list_keys --
-- List all API keys, or those of a tenant
SELECT * FROM spleeter_keys WHERE %(tenant)s::text IS NULL OR tenant = %(tenant)s ORDER BY created_at, key_id;

-- revoke_key --
-- Revoke an API key; the first revocation counts
UPDATE spleeter_keys SET revoked_at = coalesce(revoked_at, %(at)s) WHERE key_id = %(key_id)s RETURNING *;

-- touch_key --
-- Record that an API key was used
UPDATE spleeter_keys SET last_used_at = greatest(last_used_at, %(at)s) WHERE key_id = %(key_id)s;

-- take_rate --
-- Count one more request under a name if the rate allows it, and return the seconds until the whole
-- allowance is restored; else return the seconds to wait
WITH moment AS (
    SELECT coalesce(%(now)s, extract(epoch FROM clock_timestamp()))::double precision AS now
), taken AS (
    INSERT INTO spleeter_rates AS rate (name, full_at) SELECT %(name)s, now + %(interval)s FROM moment
    ON CONFLICT (name) DO UPDATE
        SET full_at = greatest(rate.full_at, EXCLUDED.full_at - %(interval)s) + %(interval)s
        WHERE greatest(rate.full_at, EXCLUDED.full_at - %(interval)s) - (EXCLUDED.full_at - %(interval)s)
            + %(interval)s <= %(period)s
    RETURNING full_at)
SELECT CASE WHEN EXISTS (SELECT FROM taken) THEN 0 ELSE greatest(
    coalesce(greatest(rate.full_at - now, 0), 0) + %(interval)s - %(period)s, 0.001) END AS wait,
    (SELECT full_at FROM taken) - now AS ahead
FROM moment LEFT JOIN spleeter_rates AS rate ON rate.name = %(name)s;

-- prune_rates --
-- Delete names whose whole allowance has been restored
DELETE FROM spleeter_rates WHERE full_at < extract(epoch FROM clock_timestamp());

-- note_models --
-- Record which models a worker has
UPDATE spleeter_workers SET models = %(models)s WHERE id = %(worker)s;

-- put_model --
-- Record a model; it stays installed while another worker has it
INSERT INTO spleeter_models AS model (
    name, stems, installed, result_version, bandwidth, quality, experimental, licence)
VALUES (
    %(name)s, %(stems)s, %(installed)s, %(result_version)s, %(bandwidth)s, %(quality)s, %(experimental)s, %(licence)s)
ON CONFLICT (name) DO UPDATE SET
    stems = EXCLUDED.stems, installed = EXCLUDED.installed, result_version = EXCLUDED.result_version,
    bandwidth = EXCLUDED.bandwidth, quality = EXCLUDED.quality, experimental = EXCLUDED.experimental,
    licence = EXCLUDED.licence
WHERE EXCLUDED.installed
   OR NOT EXISTS (SELECT FROM spleeter_workers WHERE model.name = ANY(models) AND id <> %(worker)s);

-- drop_models --
-- Delete models that a worker does not know and no other worker has
DELETE FROM spleeter_models AS model
WHERE model.name <> ALL(%(known)s)
  AND NOT EXISTS (SELECT FROM spleeter_workers WHERE model.name = ANY(models) AND id <> %(worker)s);

-- list_models --
-- List all models
SELECT * FROM spleeter_models ORDER BY name;

-- count_workers --
-- Count the workers that sent a heartbeat recently, have reported their models, and have no slot that stalls
SELECT count(*) AS workers
FROM spleeter_workers JOIN procrastinate_workers USING (id)
WHERE models <> '{}' AND ready AND last_heartbeat > now() - make_interval(secs => %(silence)s);

-- list_webhooks --
-- List the webhooks of a tenant's job, oldest first
SELECT webhook.* FROM spleeter_webhooks AS webhook JOIN spleeter_jobs AS job ON job.id = webhook.job_id
WHERE webhook.job_id = %(job)s AND job.tenant = %(tenant)s AND NOT job.deleted
ORDER BY webhook.created_at, webhook.id;

-- claim_webhook --
-- Claim a due webhook of a tenant that is not busy; if this process crashes, it is due again after the lease
UPDATE spleeter_webhooks AS webhook
SET attempts = webhook.attempts + 1, next_attempt_at = now() + make_interval(secs => %(lease)s)
FROM spleeter_jobs AS job
WHERE job.id = webhook.job_id AND webhook.id = (
    SELECT due.id FROM spleeter_webhooks AS due JOIN spleeter_jobs AS of_due ON of_due.id = due.job_id
    WHERE due.state = 'pending' AND due.next_attempt_at <= now() AND of_due.tenant <> ALL(%(busy)s)
    ORDER BY due.next_attempt_at LIMIT 1 FOR UPDATE OF due SKIP LOCKED)
RETURNING webhook.*, job.tenant, job.request_id, job.traceparent;

-- note_webhook --
-- Record the outcome of an attempt, unless another attempt has begun since
UPDATE spleeter_webhooks
SET state = %(state)s, last_status = %(status)s, last_error = %(error)s,
    next_attempt_at = CASE WHEN %(state)s = 'pending' THEN now() + %(wait)s::interval END,
    delivered_at = CASE WHEN %(state)s = 'delivered' THEN now() END
WHERE id = %(id)s AND attempts = %(attempts)s AND state = 'pending';

-- claim_chore --
-- Claim a periodic chore, if it was not done within its period
INSERT INTO spleeter_chores AS chore (name, done_at) VALUES (%(name)s, now())
ON CONFLICT (name) DO UPDATE SET done_at = now()
WHERE chore.done_at < now() - make_interval(secs => %(period)s)
RETURNING name;

-- expire_worker --
-- Make a worker count as crashed at once
UPDATE procrastinate_workers SET last_heartbeat = 'epoch'
WHERE id IN (SELECT id FROM spleeter_workers WHERE name = %(name)s);

-- get_audit_head --
-- Get the number, hash and seal of the newest audit record
SELECT sequence, hash, seal FROM spleeter_audit_head;

-- append_audit --
-- Add audit records after the head and move it, unless another process has moved it since
WITH head AS (
    UPDATE spleeter_audit_head SET sequence = %(sequence)s, hash = %(hash)s, seal = %(seal)s
    WHERE sequence = %(after)s AND hash = %(previous)s
    RETURNING sequence)
INSERT INTO spleeter_audit (sequence, record)
SELECT %(after)s + new.place, new.record
FROM head CROSS JOIN unnest(%(records)s::text[]) WITH ORDINALITY AS new (record, place);

-- freeze --
-- Let all later statements of the transaction see the same data
SET TRANSACTION ISOLATION LEVEL REPEATABLE READ;

-- list_audit --
-- List the audit records after a number, in order
SELECT sequence, record FROM spleeter_audit WHERE sequence > %(after)s ORDER BY sequence;

-- note_objects --
-- Note the keys and sizes of objects, as of the time from which they are left over unless they have an owner
INSERT INTO spleeter_objects (key, prefix, tenant, bytes, noted_at)
SELECT unnest(%(keys)s::text[]), %(prefix)s, %(tenant)s, unnest(%(sizes)s::bigint[]), now() + %(kept)s
ON CONFLICT (key) DO UPDATE SET noted_at = EXCLUDED.noted_at, tenant = EXCLUDED.tenant, bytes = EXCLUDED.bytes;

-- list_objects --
-- List the keys of a job's objects
SELECT key FROM spleeter_objects WHERE prefix = %(prefix)s;

-- forget_objects --
-- Forget a job's objects, which were erased
DELETE FROM spleeter_objects WHERE prefix = %(prefix)s;

-- list_old_prefixes --
-- List the prefixes whose last object was noted before a time
SELECT prefix FROM spleeter_objects GROUP BY prefix HAVING max(noted_at) < %(before)s;

-- create_upload --
-- Create an upload, which is complete if it consists of others
INSERT INTO spleeter_uploads (id, tenant, length, received, metadata, concat, partials, expires_at)
VALUES (%(id)s, %(tenant)s, %(length)s, %(received)s, %(metadata)s, %(concat)s, %(partials)s, now() + %(kept)s)
RETURNING *;

-- keep_partials --
-- Keep a tenant's partial uploads as long as an upload that consists of them
UPDATE spleeter_uploads SET expires_at = now() + %(kept)s
WHERE id = ANY(%(partials)s) AND tenant = %(tenant)s AND concat = 'partial' AND expires_at > now()
RETURNING *;

-- get_upload --
-- Get a tenant's upload, unless it has expired
SELECT * FROM spleeter_uploads WHERE id = %(id)s AND tenant = %(tenant)s AND expires_at > now();

-- lock_upload --
-- Lock an upload that no process holds. What an earlier holder has noted, but not added, does not count any more
WITH locked AS (
    UPDATE spleeter_uploads SET fence = fence + 1, locked_until = now() + make_interval(secs => %(lease)s)
    WHERE id = %(id)s AND tenant = %(tenant)s AND expires_at > now() AND locked_until <= now()
    RETURNING *
), lost AS (
    UPDATE spleeter_objects AS object SET bytes = 0 FROM locked
    WHERE object.prefix = 'resumable-uploads/' || locked.id AND object.position IS NULL)
SELECT * FROM locked;

-- keep_upload --
-- Keep an upload, and the lock on it, for another while
UPDATE spleeter_uploads
SET locked_until = now() + make_interval(secs => %(lease)s), expires_at = now() + %(kept)s
WHERE id = %(id)s AND fence = %(fence)s AND expires_at > now();

-- unlock_upload --
-- Release the lock on an upload
UPDATE spleeter_uploads SET locked_until = 'epoch' WHERE id = %(id)s AND fence = %(fence)s;

-- add_part --
-- Add a stored object to an upload, if it is still locked under this fence
WITH upload AS (
    UPDATE spleeter_uploads
    SET received = received + %(size)s, parts = parts + 1, expires_at = now() + %(kept)s
    WHERE id = %(id)s AND fence = %(fence)s AND expires_at > now()
    RETURNING *
), part AS (
    UPDATE spleeter_objects AS object SET position = upload.received - %(size)s FROM upload WHERE key = %(key)s)
SELECT * FROM upload;

-- list_parts --
-- List the keys of the parts of some uploads, in order
SELECT object.key
FROM unnest(%(uploads)s::uuid[]) WITH ORDINALITY AS upload (id, place)
JOIN spleeter_objects AS object ON object.prefix = 'resumable-uploads/' || upload.id
WHERE object.position IS NOT NULL
ORDER BY upload.place, object.position;

-- delete_upload --
-- Hide an upload; its objects and then its row are erased later
UPDATE spleeter_uploads SET expires_at = 'epoch' WHERE id = %(id)s AND expires_at > 'epoch' RETURNING *;

-- list_expired_uploads --
-- List uploads that have expired or are deleted, in a random order, like list_erasable
SELECT * FROM spleeter_uploads WHERE expires_at <= now() ORDER BY random() LIMIT %(limit)s;

-- forget_upload --
-- Erase the row of a deleted upload
DELETE FROM spleeter_uploads WHERE id = %(id)s AND expires_at = 'epoch';
