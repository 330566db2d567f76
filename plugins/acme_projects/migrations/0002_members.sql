CREATE EXTENSION IF NOT EXISTS pg_trgm;
CREATE EXTENSION IF NOT EXISTS btree_gin;

-- Deleted projects can be brought back until purge_at; then a job takes the row away, and what hangs on it.
ALTER TABLE projects
    ADD COLUMN deleted_at timestamptz,
    ADD COLUMN purge_at timestamptz,
    ADD CHECK ((deleted_at IS NULL) = (purge_at IS NULL));

-- Users, teams and service accounts with a role on a project of their own. The organisation is the project's, which never
-- changes: it stands here so that what somebody reaches directly is found without a look at every project.
CREATE TABLE project_members (
    project_id text COLLATE "C" NOT NULL REFERENCES projects ON DELETE CASCADE,
    subject_id text COLLATE "C" NOT NULL,
    organization_id text COLLATE "C" NOT NULL,
    role text COLLATE "C" NOT NULL CHECK (role IN ('owner', 'admin', 'member', 'viewer')),
    joined_at timestamptz NOT NULL,
    version bigint NOT NULL,
    PRIMARY KEY (project_id, subject_id)
);

CREATE INDEX project_members_joined ON project_members (project_id, joined_at, subject_id);
CREATE INDEX project_members_subject ON project_members (subject_id, organization_id, project_id);
CREATE UNIQUE INDEX project_members_owner ON project_members (project_id) WHERE role = 'owner';

INSERT INTO project_members (project_id, subject_id, organization_id, role, joined_at, version)
SELECT id, owner_id, organization_id, 'owner', created_at, 1 FROM projects;

-- Invitations that have led to a membership: a repeated JoinProject does not bring back who was removed since.
CREATE TABLE project_joins (
    project_id text COLLATE "C" NOT NULL REFERENCES projects ON DELETE CASCADE,
    invitation_id text COLLATE "C" NOT NULL,
    PRIMARY KEY (project_id, invitation_id)
);

-- Offers of ownership, one a project.
CREATE TABLE project_transfers (
    project_id text COLLATE "C" PRIMARY KEY REFERENCES projects ON DELETE CASCADE,
    organization_id text COLLATE "C" NOT NULL,
    owner_id text COLLATE "C" NOT NULL, -- whose ownership is offered
    offered_by text COLLATE "C" NOT NULL, -- by itself, or by somebody who may in the organisation
    user_id text COLLATE "C" NOT NULL, -- who may accept
    expires_at timestamptz NOT NULL
);

CREATE INDEX project_transfers_user ON project_transfers (user_id, organization_id);
CREATE INDEX project_transfers_offered_by ON project_transfers (offered_by, organization_id);

-- A list in each order that it can have is a walk of one of these.
CREATE INDEX projects_newest ON projects (organization_id, id);
CREATE INDEX projects_name ON projects (organization_id, name COLLATE "C", id);
CREATE INDEX projects_created ON projects (organization_id, created_at, id);
CREATE INDEX projects_updated ON projects (organization_id, updated_at, id);
CREATE INDEX projects_labels ON projects USING gin (labels jsonb_path_ops);
CREATE INDEX projects_deleted ON projects (organization_id, id) WHERE deleted_at IS NOT NULL;
CREATE INDEX projects_purge ON projects (purge_at) WHERE purge_at IS NOT NULL;

-- For searches within one organisation. The organisation is in it as an expression that no other index knows: a search
-- never walks all projects of an organisation in the hope of finding enough. Without the pending list of fastupdate a read
-- costs the same whatever was written before it.
CREATE INDEX projects_search ON projects USING gin (
    (organization_id || ''), name gin_trgm_ops, (name || E'\n' || description) gin_trgm_ops
) WITH (fastupdate = off);
