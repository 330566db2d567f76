-- What verifiers of access tokens follow beside revocations: whose memberships have changed.
-- And when the holder of a session last proved with a password to be it, which is what step-up asks.

ALTER TABLE authority_changes
    ADD COLUMN grants_of text COLLATE "C",      -- a subject whose memberships changed
    ADD COLUMN organization_id text COLLATE "C",    -- an organisation of whose members all have to be asked again
    DROP CONSTRAINT authority_changes_check,
    ADD CONSTRAINT authority_changes_one CHECK (num_nonnulls(session_id, subject, grants_of, organization_id) = 1);

-- NULL: not since the log-in that began the session.
ALTER TABLE sessions ADD COLUMN authenticated_at timestamptz;
