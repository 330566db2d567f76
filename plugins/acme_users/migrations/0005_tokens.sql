-- Access tokens for programs, and the programs that belong to organisations.

CREATE TABLE service_accounts (
    id text COLLATE "C" PRIMARY KEY,
    organization_id text COLLATE "C" NOT NULL REFERENCES organizations,
    name text NOT NULL,
    role text NOT NULL,                         -- as a member's
    created_at timestamptz NOT NULL,
    version bigint NOT NULL DEFAULT 1,
    deleted_at timestamptz,                     -- a job deletes the row later
    custom_role text COLLATE "C"
        GENERATED ALWAYS AS (CASE WHEN deleted_at IS NULL AND role LIKE 'rol\_%' THEN role END) STORED,
    FOREIGN KEY (organization_id, custom_role) REFERENCES roles (organization_id, id)
);
CREATE INDEX service_accounts_organization ON service_accounts (organization_id, id);
CREATE INDEX service_accounts_custom_role ON service_accounts (organization_id, custom_role)
    WHERE custom_role IS NOT NULL;
CREATE INDEX service_accounts_deleted_at ON service_accounts (deleted_at) WHERE deleted_at IS NOT NULL;

-- The tokens themselves are not stored: 256 random bits need no salt and no slow hash.
CREATE TABLE access_tokens (
    id text COLLATE "C" PRIMARY KEY,
    subject text COLLATE "C" NOT NULL,          -- a user or a service account
    digest bytea NOT NULL UNIQUE,               -- SHA-256 of the token
    name text NOT NULL,
    scopes text[] NOT NULL,                     -- as they were asked for: see scopes.py
    created_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL,
    last_used_at timestamptz,
    revoked_at timestamptz
);
CREATE INDEX access_tokens_subject ON access_tokens (subject, id);
CREATE INDEX access_tokens_expires_at ON access_tokens (expires_at);
