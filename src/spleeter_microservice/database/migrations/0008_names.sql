-- Columns named for what they hold. Jobs have one priority: fairness between tenants decides their order.

ALTER TABLE spleeter_jobs RENAME COLUMN engine TO result_version;
ALTER TABLE spleeter_jobs RENAME COLUMN deaths TO crashes;
ALTER TABLE spleeter_jobs DROP COLUMN priority;
ALTER TABLE spleeter_models RENAME COLUMN engine TO result_version;
