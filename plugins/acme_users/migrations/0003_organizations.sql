-- Organisations of several people: custom roles, memberships that end, teams, invitations, and offers of ownership.
-- Whoever changes anything of these in an organisation locks the organisation's row first: see store/__init__.py.

ALTER TABLE organizations
    ADD COLUMN default_role text NOT NULL DEFAULT 'viewer',     -- 'none', or the most that it gives on projects
    ADD COLUMN updated_at timestamptz;                          -- NULL: never changed since it was made

-- Permissions as of the contracts; those that no contract knows any more do nothing.
CREATE TABLE roles (
    id text COLLATE "C" PRIMARY KEY,
    organization_id text COLLATE "C" NOT NULL REFERENCES organizations,
    name text NOT NULL,
    permissions text[] NOT NULL,                -- sorted, each once
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    version bigint NOT NULL DEFAULT 1,
    UNIQUE (organization_id, id)
);

-- The column custom_role lets the database see to it that nobody has a role that is gone, or another organisation's.
ALTER TABLE memberships
    ADD COLUMN expires_at timestamptz,          -- it counts for nothing from then on; a job deletes it later
    ADD COLUMN version bigint NOT NULL DEFAULT 1,
    ADD COLUMN custom_role text COLLATE "C" GENERATED ALWAYS AS (CASE WHEN role LIKE 'rol\_%' THEN role END) STORED,
    ADD FOREIGN KEY (organization_id, custom_role) REFERENCES roles (organization_id, id);
DROP INDEX memberships_organization_id;
CREATE INDEX memberships_organization_joined ON memberships (organization_id, joined_at, user_id);
CREATE INDEX memberships_custom_role ON memberships (organization_id, custom_role) WHERE custom_role IS NOT NULL;
CREATE INDEX memberships_owners ON memberships (organization_id, joined_at) WHERE role = 'owner';
CREATE INDEX memberships_expires_at ON memberships (expires_at) WHERE expires_at IS NOT NULL;

-- An offer of ownership; there is one at a time, and none once either of the two has left.
CREATE TABLE organization_transfers (
    organization_id text COLLATE "C" PRIMARY KEY REFERENCES organizations,
    from_user_id text COLLATE "C" NOT NULL,
    to_user_id text COLLATE "C" NOT NULL,
    expires_at timestamptz NOT NULL,
    FOREIGN KEY (from_user_id, organization_id) REFERENCES memberships (user_id, organization_id) ON DELETE CASCADE,
    FOREIGN KEY (to_user_id, organization_id) REFERENCES memberships (user_id, organization_id) ON DELETE CASCADE
);
CREATE INDEX organization_transfers_from ON organization_transfers (from_user_id, organization_id);
CREATE INDEX organization_transfers_to ON organization_transfers (to_user_id, organization_id);
CREATE INDEX organization_transfers_expires_at ON organization_transfers (expires_at);

CREATE TABLE teams (
    id text COLLATE "C" PRIMARY KEY,
    organization_id text COLLATE "C" NOT NULL REFERENCES organizations,
    name text NOT NULL,
    description text NOT NULL,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    version bigint NOT NULL DEFAULT 1,
    UNIQUE (organization_id, id)
);

CREATE TABLE team_members (
    team_id text COLLATE "C" NOT NULL,
    user_id text COLLATE "C" NOT NULL,
    organization_id text COLLATE "C" NOT NULL,
    joined_at timestamptz NOT NULL,
    PRIMARY KEY (team_id, user_id),
    FOREIGN KEY (organization_id, team_id) REFERENCES teams (organization_id, id) ON DELETE CASCADE,
    FOREIGN KEY (user_id, organization_id) REFERENCES memberships (user_id, organization_id) ON DELETE CASCADE
);
CREATE INDEX team_members_team ON team_members (organization_id, team_id);
CREATE INDEX team_members_user ON team_members (user_id, organization_id);
CREATE INDEX team_members_joined ON team_members (team_id, joined_at, user_id);

CREATE TABLE invitations (
    id text COLLATE "C" PRIMARY KEY,
    organization_id text COLLATE "C" NOT NULL REFERENCES organizations,
    email text NOT NULL,                        -- as it was typed, for sending
    email_key text COLLATE "C" NOT NULL,        -- for comparing: see addresses.py
    role text NOT NULL,                         -- in the organisation
    project_id text COLLATE "C" NOT NULL DEFAULT '',    -- '' for an invitation to the organisation alone
    project_name text NOT NULL DEFAULT '',      -- as of the invitation, for the mail
    project_role text NOT NULL DEFAULT '',
    inviter_id text COLLATE "C" NOT NULL,       -- who sent it last: a user, or a service account
    digest bytea NOT NULL UNIQUE,               -- SHA-256 of the token
    created_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL,
    membership_expires_at timestamptz,
    -- A second invitation of an address to the same takes the place of the first.
    UNIQUE (organization_id, email_key, project_id)
);
CREATE INDEX invitations_newest ON invitations (organization_id, id);
CREATE INDEX invitations_expires_at ON invitations (expires_at);
