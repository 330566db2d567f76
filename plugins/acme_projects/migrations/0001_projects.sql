-- Ids are TypeIDs over UUIDv7 and sort by creation in the "C" collation, whatever the database's own is: the primary key
-- grows at its end, and a list newest first is a backward walk of projects_owner.
CREATE TABLE projects (
    id text COLLATE "C" PRIMARY KEY,
    organization_id text COLLATE "C" NOT NULL,
    owner_id text COLLATE "C" NOT NULL,
    name text NOT NULL,
    description text NOT NULL,
    labels jsonb NOT NULL,
    archived boolean NOT NULL,
    region text NOT NULL,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    version bigint NOT NULL
);

CREATE INDEX projects_owner ON projects (owner_id, id);
