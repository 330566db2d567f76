-- What the writers say happened.
CREATE TABLE aggregates (
    id text PRIMARY KEY,
    organization_id text NOT NULL,
    version bigint NOT NULL DEFAULT 0
);

-- What a consumer has heard of an aggregate last, and everything it ever heard: without a constraint that would hide a repetition.
CREATE TABLE followed (
    consumer text NOT NULL,
    aggregate text NOT NULL,
    version bigint NOT NULL,
    PRIMARY KEY (consumer, aggregate)
);
CREATE TABLE effects (
    consumer text NOT NULL,
    aggregate text NOT NULL,
    version bigint NOT NULL,
    event_id text NOT NULL
);
CREATE INDEX effects_of ON effects (consumer, aggregate, version);

-- An event that did not come next.
CREATE TABLE inversions (
    consumer text NOT NULL,
    aggregate text NOT NULL,
    version bigint NOT NULL,
    followed bigint NOT NULL
);
