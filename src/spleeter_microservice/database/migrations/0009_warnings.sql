-- What is odd about a song that was separated nevertheless.
ALTER TABLE spleeter_jobs ADD COLUMN warnings jsonb NOT NULL DEFAULT '[]';

-- Whether a deleted job's objects are erased. Its row stays until the webhook about its cancellation is sent.
ALTER TABLE spleeter_jobs ADD COLUMN erased boolean NOT NULL DEFAULT false;
