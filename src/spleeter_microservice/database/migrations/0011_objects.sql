-- The keys of all objects, noted before they are written: credentials may lack the right to list a bucket.

CREATE TABLE spleeter_objects (
    key      text PRIMARY KEY,
    prefix   text NOT NULL,
    noted_at timestamptz NOT NULL DEFAULT now()
);

CREATE INDEX spleeter_objects_prefix ON spleeter_objects (prefix);

INSERT INTO spleeter_objects (key, prefix)
SELECT input_key, prefix FROM spleeter_jobs
UNION
SELECT unnest(ARRAY[stem ->> 'key', prefix || '/peaks/' || (stem ->> 'name') || '.json']), prefix
FROM spleeter_jobs CROSS JOIN jsonb_array_elements(result -> 'stems') AS stem
ON CONFLICT DO NOTHING;
