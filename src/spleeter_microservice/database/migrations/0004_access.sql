-- API keys, of which only hashes are kept, and how often somebody did something.

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

-- By name, the second at which the whole allowance is there again. Written at every request, and
-- worth nothing after a crash: not logged.
CREATE UNLOGGED TABLE spleeter_rates (
    name     text PRIMARY KEY,
    full_at  double precision NOT NULL
);

CREATE INDEX spleeter_rates_full ON spleeter_rates (full_at);
