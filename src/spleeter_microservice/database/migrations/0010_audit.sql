-- The audit log: its records as canonical JSON, which can only be added.
--
-- The head names the newest record. Its seal is an HMAC under a key that the database does not have. It is
-- replaced with each record, so the seals of earlier heads are not there for whoever truncates the log.

CREATE TABLE spleeter_audit (
    sequence bigint PRIMARY KEY,
    record   text NOT NULL
);

CREATE TABLE spleeter_audit_head (
    single   boolean PRIMARY KEY DEFAULT true CHECK (single),
    sequence bigint NOT NULL,
    hash     text NOT NULL,
    seal     text NOT NULL
);

INSERT INTO spleeter_audit_head (sequence, hash, seal) VALUES (0, repeat('0', 64), '');

CREATE FUNCTION spleeter_refuse_audit_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'The audit log is append-only: % on % is refused.', TG_OP, TG_TABLE_NAME;
END
$$;

CREATE TRIGGER spleeter_audit_appended BEFORE UPDATE OR DELETE OR TRUNCATE ON spleeter_audit
    FOR EACH STATEMENT EXECUTE FUNCTION spleeter_refuse_audit_change();
CREATE TRIGGER spleeter_audit_head_kept BEFORE DELETE OR TRUNCATE ON spleeter_audit_head
    FOR EACH STATEMENT EXECUTE FUNCTION spleeter_refuse_audit_change();
CREATE TRIGGER spleeter_audit_head_moved BEFORE UPDATE ON spleeter_audit_head
    FOR EACH ROW WHEN (NEW.sequence <= OLD.sequence) EXECUTE FUNCTION spleeter_refuse_audit_change();
