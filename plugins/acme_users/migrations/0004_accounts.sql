-- Profiles, what mails let people do to an account, and what keeps others from guessing.

ALTER TABLE users
    ADD COLUMN avatar_url text NOT NULL DEFAULT '',
    ADD COLUMN locale text NOT NULL DEFAULT 'en',       -- BCP 47
    ADD COLUMN time_zone text NOT NULL DEFAULT 'UTC';   -- of the IANA database

-- Tokens in mails to people who have an account. Each is for one account, one address and one purpose. A row without an
-- account is of an address that has none: no token was sent, and as much was written.
CREATE TABLE mail_tokens (
    digest bytea PRIMARY KEY,                   -- SHA-256 of the token
    purpose text NOT NULL CHECK (purpose IN ('reset_password', 'change_email', 'undo_email_change')),
    user_id text COLLATE "C" REFERENCES users,
    email text NOT NULL,                        -- where the token was sent
    email_key text COLLATE "C" NOT NULL,
    expires_at timestamptz NOT NULL
);
CREATE INDEX mail_tokens_user_id ON mail_tokens (user_id);
CREATE INDEX mail_tokens_email_key ON mail_tokens (email_key);
CREATE INDEX mail_tokens_expires_at ON mail_tokens (expires_at);

-- Attempts to prove a password since the last success, whatever the address leads to: see throttles.py. The names are MACs.
CREATE TABLE account_attempts (
    account bytea PRIMARY KEY,
    attempts integer NOT NULL,                  -- looked at
    failures integer NOT NULL DEFAULT 0,        -- of these, found wrong
    blocked_until timestamptz,                  -- when the next may come; NULL: at once
    attempted_at timestamptz NOT NULL
);
CREATE INDEX account_attempts_attempted_at ON account_attempts (attempted_at);

-- Failed attempts of a client address: the youngest of each account it tried.
CREATE TABLE address_failures (
    address bytea NOT NULL,
    account bytea NOT NULL,
    failed_at timestamptz NOT NULL,
    PRIMARY KEY (address, account)
);
CREATE INDEX address_failures_recent ON address_failures (address, failed_at);
CREATE INDEX address_failures_failed_at ON address_failures (failed_at);

-- When the youngest mails left that anybody may cause to an address, newest first.
CREATE TABLE mail_quotas (
    recipient bytea PRIMARY KEY,
    sent_at timestamptz[] NOT NULL
);
CREATE INDEX mail_quotas_youngest ON mail_quotas ((sent_at[1]));
