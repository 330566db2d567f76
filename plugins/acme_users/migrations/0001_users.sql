-- People, their organisations and sessions, and what verifiers of access tokens need to know.
-- Times come from the Clock; no statement calls now(). Ids compare by byte, which is the order of their creation.

CREATE TABLE organizations (
    id text COLLATE "C" PRIMARY KEY,
    name text NOT NULL,
    personal boolean NOT NULL,
    region text NOT NULL,                       -- set once: no statement changes it
    created_at timestamptz NOT NULL,
    version bigint NOT NULL DEFAULT 1
);

CREATE TABLE users (
    id text COLLATE "C" PRIMARY KEY,
    -- The three below are NULL once somebody else has proved the address.
    email text,                                 -- as it was typed, for sending
    email_key text COLLATE "C",                 -- for comparing: see addresses.py
    password_hash bytea,                        -- argon2id, sealed
    email_verified_at timestamptz,
    display_name text NOT NULL,
    organization_id text COLLATE "C" NOT NULL REFERENCES organizations,   -- the personal one
    region text NOT NULL,                       -- set once, as an organisation's
    epoch bigint NOT NULL DEFAULT 0,            -- access tokens with a lower one are dead
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    version bigint NOT NULL DEFAULT 1,
    CHECK ((email IS NULL) = (email_key IS NULL)),
    CHECK (email IS NOT NULL OR (email_verified_at IS NULL AND password_hash IS NULL))
);
-- One holder of an address at a time, proved or not.
CREATE UNIQUE INDEX users_email_key ON users (email_key);
CREATE INDEX users_organization_id ON users (organization_id);

CREATE TABLE memberships (
    user_id text COLLATE "C" NOT NULL REFERENCES users,
    organization_id text COLLATE "C" NOT NULL REFERENCES organizations,
    role text NOT NULL,
    joined_at timestamptz NOT NULL,
    PRIMARY KEY (user_id, organization_id)
);
CREATE INDEX memberships_organization_id ON memberships (organization_id);
CREATE INDEX memberships_joined ON memberships (user_id, joined_at, organization_id);

-- Tokens that prove an e-mail address. With user_id: the one of that account's own sign-up. Without: a pending sign-up
-- for an address that an unverified account holds, which becomes an account when it is proved.
CREATE TABLE email_verifications (
    digest bytea PRIMARY KEY,                   -- SHA-256 of the token
    email text NOT NULL,
    email_key text COLLATE "C" NOT NULL,
    user_id text COLLATE "C" REFERENCES users,
    password_hash bytea,
    display_name text,
    expires_at timestamptz NOT NULL,
    CHECK ((user_id IS NULL) = (password_hash IS NOT NULL)),
    CHECK ((user_id IS NULL) = (display_name IS NOT NULL))
);
CREATE INDEX email_verifications_email_key ON email_verifications (email_key);
CREATE INDEX email_verifications_user_id ON email_verifications (user_id);
CREATE INDEX email_verifications_expires_at ON email_verifications (expires_at);

-- A session is a family of refresh tokens: see refresh.py. None of the tokens is stored.
CREATE TABLE sessions (
    id text COLLATE "C" PRIMARY KEY,
    user_id text COLLATE "C" NOT NULL REFERENCES users,
    secret bytea NOT NULL,
    generation integer NOT NULL,                -- of the youngest refresh token; 1 at log-in
    rotated_at timestamptz NOT NULL,            -- when that one was given out first
    user_agent text NOT NULL,
    address text NOT NULL,
    created_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL,            -- absolute: no refresh moves it
    revoked_at timestamptz
);
CREATE INDEX sessions_user_id ON sessions (user_id, id);
CREATE INDEX sessions_expires_at ON sessions (expires_at);

-- One row: the counters behind the authority contract. Updating it is also the lock that orders those who do.
CREATE TABLE authority (
    only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    last_sequence bigint NOT NULL,
    key_version bigint NOT NULL
);
INSERT INTO authority (last_sequence, key_version) VALUES (0, 0);

-- Either a session that was revoked, or a subject whose access tokens with a lower epoch are.
CREATE TABLE authority_changes (
    sequence bigint PRIMARY KEY,
    session_id text COLLATE "C",
    subject text COLLATE "C",
    epoch bigint NOT NULL DEFAULT 0,
    created_at timestamptz NOT NULL,
    CHECK ((session_id IS NULL) <> (subject IS NULL))
);
CREATE INDEX authority_changes_created_at ON authority_changes (created_at);

CREATE TABLE signing_keys (
    kid text COLLATE "C" PRIMARY KEY,           -- JWK thumbprint (RFC 7638)
    algorithm text NOT NULL,
    public_jwk text NOT NULL,
    private_jwk bytea NOT NULL,                 -- sealed
    not_before timestamptz NOT NULL,
    retired_at timestamptz                      -- NULL for the youngest
);
CREATE INDEX signing_keys_not_before ON signing_keys (not_before);
