-- What lists of a tenant's jobs are searched for and sorted by, and an index for each order.
--
-- The indexes also have what decides whether a job is in the list, so that searching, counting and skipping read no
-- rows of the table. A name counts without its case and its accents, and numbers in it by their value.

DO $$
BEGIN
    CREATE COLLATION spleeter_letters (provider = builtin, locale = 'C.UTF-8');
EXCEPTION WHEN OTHERS THEN  -- before PostgreSQL 17: only ASCII letters have a case
    CREATE COLLATION spleeter_letters FROM "C";
END;
$$;

CREATE FUNCTION spleeter_fold(name text) RETURNS text LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS $$
    SELECT left(lower(regexp_replace(normalize(name, NFKD), '[\u0300-\u036f]', '', 'g') COLLATE spleeter_letters), 255)
$$;

-- Every number gets at least ten digits. The result is short enough for an index.
CREATE FUNCTION spleeter_sortable(name text) RETURNS text LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS $$
    SELECT left(regexp_replace(regexp_replace(spleeter_fold(name), '(\d+)', '0000000000\1', 'g'), '0{0,10}(\d{10,})', '\1', 'g'), 100)
$$;

ALTER TABLE spleeter_jobs
    ADD COLUMN search_name text COLLATE "C" GENERATED ALWAYS AS (spleeter_fold(input_name)) STORED,
    ADD COLUMN sort_name text COLLATE "C" GENERATED ALWAYS AS (spleeter_sortable(input_name)) STORED,
    ADD COLUMN kept_until timestamptz GENERATED ALWAYS AS (coalesce(expires_at, '9999-01-01 00:00Z')) STORED;

DROP INDEX spleeter_jobs_pages;
CREATE INDEX spleeter_jobs_by_age ON spleeter_jobs (tenant, id)
    INCLUDE (search_name, state, deleted, erased, expires_at);
CREATE INDEX spleeter_jobs_by_name ON spleeter_jobs (tenant, sort_name, id)
    INCLUDE (search_name, state, deleted, erased, expires_at);
CREATE INDEX spleeter_jobs_by_length ON spleeter_jobs (tenant, audio_seconds, id)
    INCLUDE (search_name, state, deleted, erased, expires_at);
CREATE INDEX spleeter_jobs_by_time_left ON spleeter_jobs (tenant, kept_until, id)
    INCLUDE (search_name, state, deleted, erased, expires_at);
