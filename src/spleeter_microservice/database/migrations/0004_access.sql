-- API keys, stored only as hashes, and the rates of requests.

CREATE TABLE spleeter_keys (
    key_id        text PRIMARY KEY,
    digest        text NOT NULL UNIQUE,
    tenant        text NOT NULL,
    scopes        text[] NOT NULL,
    name          text NOT NULL,
    created_at    timestamptz NOT NULL,
    expires_at    timestamptz,
    last_used_at  timestamptz,
    revoked_at    timestamptz
);

-- For each name, the second at which its whole allowance is restored. The table is unlogged: it is
-- written at every request and worthless after a crash.
CREATE UNLOGGED TABLE spleeter_rates (
    name     text PRIMARY KEY,
    full_at  double precision NOT NULL
);

CREATE INDEX spleeter_rates_full ON spleeter_rates (full_at);
