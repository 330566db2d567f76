-- What the platform keeps in every service's own database, beside the service's tables: see acme/work/__init__.py.

CREATE SCHEMA IF NOT EXISTS acme;

-- Events that were committed with their cause and wait for the bus. The relay takes them in the order of id and deletes
-- them; ids are given out just before the commit, so events of one locked row are numbered in the order of their commits.
CREATE TABLE acme.outbox (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    topic text NOT NULL,
    key text NOT NULL CHECK (key <> ''),
    type text NOT NULL, -- full name of the message
    payload bytea NOT NULL, -- protobuf wire format
    headers jsonb NOT NULL, -- request_id, traceparent, principal_kind, principal_id
    created_at timestamptz NOT NULL
);

-- What was answered to a request with an Idempotency-Key, for 24 hours.
CREATE TABLE acme.idempotency (
    principal text NOT NULL,
    method text NOT NULL,
    key text NOT NULL,
    fingerprint bytea NOT NULL, -- HMAC of the request
    outcome bytea NOT NULL, -- sealed: the reply or the refusal
    created_at timestamptz NOT NULL,
    PRIMARY KEY (principal, method, key)
);
CREATE INDEX idempotency_created_at ON acme.idempotency (created_at);

-- Makes a key the transaction's own, if nobody has it, and then looks what is kept for it. A function, because only there
-- the look comes after the lock with a snapshot of its own: in one plain statement, whoever gets the lock that a commit has
-- just set free would not see what that commit wrote.
CREATE FUNCTION acme.claim_key(
    of_principal text, of_method text, named text, since timestamptz, lock bigint,
    OUT free boolean, OUT fingerprint bytea, OUT outcome bytea
) LANGUAGE plpgsql VOLATILE AS $$
BEGIN
    free := pg_try_advisory_xact_lock(lock);
    SELECT kept.fingerprint, kept.outcome INTO fingerprint, outcome FROM acme.idempotency AS kept
    WHERE kept.principal = of_principal AND kept.method = of_method AND kept.key = named AND kept.created_at > since;
END
$$;

-- What must reach the outside world after the commit that asked for it, such as mail.
CREATE TABLE acme.deliveries (
    id text PRIMARY KEY,
    kind text NOT NULL,
    payload bytea, -- sealed; erased once delivered
    created_at timestamptz NOT NULL,
    run_at timestamptz NOT NULL,
    lease_until timestamptz, -- until then it belongs to the worker that made attempt number `attempts`
    attempts integer NOT NULL DEFAULT 0,
    done_at timestamptz,
    failed_at timestamptz, -- given up: kept for a person to look at
    last_error text, -- the class of the error, never its text
    CHECK ((payload IS NULL) = (done_at IS NOT NULL))
);
CREATE INDEX deliveries_due ON acme.deliveries (run_at) WHERE done_at IS NULL AND failed_at IS NULL;
CREATE INDEX deliveries_done ON acme.deliveries (done_at) WHERE done_at IS NOT NULL;
