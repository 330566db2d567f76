-- Settings of projects. The youngest version is the current one; the last 100 are kept.
CREATE TABLE settings_versions (
    project_id text COLLATE "C" NOT NULL REFERENCES projects ON DELETE CASCADE,
    version bigint NOT NULL,
    settings jsonb NOT NULL,
    updated_at timestamptz NOT NULL,
    updated_by text COLLATE "C" NOT NULL,
    PRIMARY KEY (project_id, version)
);

-- What an organisation declares for the settings of its projects.
CREATE TABLE settings_schemas (
    organization_id text COLLATE "C" PRIMARY KEY,
    schema jsonb NOT NULL,
    version bigint NOT NULL,
    updated_at timestamptz NOT NULL,
    updated_by text COLLATE "C" NOT NULL
);

-- What plugins declare, each for the member of its name.
CREATE TABLE plugin_settings_schemas (
    plugin text COLLATE "C" PRIMARY KEY,
    schema jsonb NOT NULL,
    declared_at timestamptz NOT NULL
);
