-- What the service lacked, as the code of an error, when it put a job back, and since when the job has waited.
ALTER TABLE spleeter_jobs ADD COLUMN waiting_for text, ADD COLUMN waiting_since timestamptz;
