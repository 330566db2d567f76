-- One log for each organisation and region. The row is its head: who appends locks it first. Hashes are SHA-256, 32 bytes.
CREATE TABLE logs (
    id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name text COLLATE "C" NOT NULL CONSTRAINT logs_name UNIQUE, -- "us-east/org_…"; "us-east/platform" for what is no organisation's
    size bigint NOT NULL DEFAULT 0, -- records; the next one has this number
    head bytea NOT NULL DEFAULT decode(repeat('00', 32), 'hex'), -- leaf hash of the last record, zeros before the first
    frontier bytea NOT NULL DEFAULT '', -- roots of the tree's complete subtrees, the largest first
    signed bigint NOT NULL DEFAULT 0, -- number of the last checkpoint
    archived bigint NOT NULL DEFAULT 0 -- number of the last checkpoint that is in the object store, too
) WITH (fillfactor = 50);

-- The records. canonical is the truth: what was hashed, byte for byte. The other columns repeat what is in it, to be found
-- by, and are compared with it by `acme audit verify`. There is no foreign key to logs: a check a row costs as much as the
-- row, and rows come from a statement that holds the head.
CREATE TABLE records (
    log_id int NOT NULL,
    sequence bigint NOT NULL,
    id text COLLATE "C" NOT NULL CONSTRAINT records_id UNIQUE,
    canonical bytea NOT NULL,
    leaf bytea NOT NULL,
    occurred_at timestamptz NOT NULL,
    actor_id text COLLATE "C" NOT NULL,
    action text COLLATE "C" NOT NULL,
    outcome smallint NOT NULL,
    targets text[] COLLATE "C" NOT NULL,
    PRIMARY KEY (log_id, sequence)
);

CREATE INDEX records_actor ON records (log_id, actor_id, sequence);
CREATE INDEX records_action ON records (log_id, action, sequence);
CREATE INDEX records_outcome ON records (log_id, outcome, sequence);
CREATE INDEX records_occurred ON records (log_id, occurred_at);
CREATE INDEX records_targets ON records USING gin (targets);

-- Roots of complete subtrees of 16, 256, 4,096 … records (RFC 6962, section 2.1); those between follow from at most eight
-- of them each, and the smallest are the records' own leaf hashes.
CREATE TABLE nodes (
    log_id int NOT NULL,
    level smallint NOT NULL, -- its subtree has 2^level records, of which the first is number index * 2^level
    index bigint NOT NULL,
    hash bytea NOT NULL,
    PRIMARY KEY (log_id, level, index)
);

-- Signed states of the trees: c2sp.org/tlog-checkpoint, each with the hash of the one before.
CREATE TABLE checkpoints (
    log_id int NOT NULL,
    number bigint NOT NULL, -- from 1
    size bigint NOT NULL,
    signed_at timestamptz NOT NULL,
    note text NOT NULL,
    PRIMARY KEY (log_id, number)
);

-- Ed25519 keys that sign checkpoints; the youngest does.
CREATE TABLE signing_keys (
    id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    public bytea NOT NULL,
    sealed bytea NOT NULL, -- the private key, for the platform's cipher
    created_at timestamptz NOT NULL
);

-- Keys of people: what is personal in a record is readable as long as its subject's key is here.
CREATE TABLE subject_keys (
    subject text COLLATE "C" PRIMARY KEY,
    sealed bytea, -- for the platform's cipher; NULL once it is destroyed, and for good
    created_at timestamptz NOT NULL,
    destroyed_at timestamptz,
    CHECK ((sealed IS NULL) = (destroyed_at IS NOT NULL))
);

-- Events that were heard, and events that records name. A job takes out what is in both.
CREATE TABLE announced (
    event_id text COLLATE "C" PRIMARY KEY,
    kind text NOT NULL, -- name of the message
    noted_at timestamptz NOT NULL
);

CREATE TABLE accounted (
    event_id text COLLATE "C" PRIMARY KEY,
    noted_at timestamptz NOT NULL
);

CREATE INDEX announced_noted ON announced (noted_at);
CREATE INDEX accounted_noted ON accounted (noted_at);

CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'the audit log only grows: % of % is refused', TG_OP, TG_TABLE_NAME;
END
$$;

CREATE TRIGGER only_grows BEFORE UPDATE OR DELETE OR TRUNCATE ON records EXECUTE FUNCTION refuse_change();
CREATE TRIGGER only_grows BEFORE UPDATE OR DELETE OR TRUNCATE ON nodes EXECUTE FUNCTION refuse_change();
CREATE TRIGGER only_grows BEFORE UPDATE OR DELETE OR TRUNCATE ON checkpoints EXECUTE FUNCTION refuse_change();
