-- What the consumers of a plugin have heard, and what they could not handle: see acme/bus/consumer.py.
--
-- A consumer is its group on the bus, "PLUGIN.NAME".

-- Every event that is accounted for: its effect was committed with this row, or it is a dead letter. Redelivered events are
-- known by it. Cleared away once no bus can deliver the event any more.
CREATE TABLE acme.inbox (
    consumer text NOT NULL,
    event_id text NOT NULL, -- "evt_…"; "TOPIC/PARTITION/OFFSET" for a record that does not say
    heard_at timestamptz NOT NULL,
    PRIMARY KEY (consumer, event_id)
);
CREATE INDEX inbox_heard_at ON acme.inbox (consumer, heard_at);

-- Keys whose events are set aside. Whoever adds a letter locks the row against its end; whoever replays locks it whole.
CREATE TABLE acme.parked_keys (
    consumer text NOT NULL,
    topic text NOT NULL,
    key bytea NOT NULL,
    parked_at timestamptz NOT NULL,
    replay_at timestamptz, -- since when a replay is asked for
    PRIMARY KEY (consumer, topic, key)
);
CREATE INDEX parked_keys_replay ON acme.parked_keys (consumer, replay_at) WHERE replay_at IS NOT NULL;

-- Events that could not be handled, as they came, and those of the same key that followed and wait for them.
CREATE TABLE acme.dead_letters (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    consumer text NOT NULL,
    event_id text NOT NULL,
    topic text NOT NULL,
    partition integer NOT NULL,
    "offset" bigint NOT NULL, -- the order within the key
    parked_key bytea, -- `key`, where it holds back what follows; NULL where there is none that could
    key bytea,
    value bytea,
    header_names text[] NOT NULL,
    header_values bytea[] NOT NULL,
    sent_ms bigint NOT NULL, -- the record's timestamp
    type text NOT NULL, -- full name of the message, '' where the record does not say
    error text NOT NULL, -- the error's class, never its text; '' for one that only waits
    fingerprint text NOT NULL, -- the same for failures at the same place in the same way
    attempts integer NOT NULL,
    replays integer NOT NULL DEFAULT 0, -- failed ones
    begun integer NOT NULL DEFAULT 0, -- replays begun since one was last seen to end: a process that is lost leaves one
    replay_at timestamptz, -- since when a replay is asked for; only where no key is parked
    parked_at timestamptz NOT NULL,
    failed_at timestamptz, -- last
    UNIQUE (consumer, event_id),
    FOREIGN KEY (consumer, topic, parked_key) REFERENCES acme.parked_keys (consumer, topic, key),
    CHECK (replay_at IS NULL OR parked_key IS NULL)
);
CREATE INDEX dead_letters_key ON acme.dead_letters (consumer, topic, parked_key, "offset");
CREATE INDEX dead_letters_replay ON acme.dead_letters (consumer, replay_at) WHERE replay_at IS NOT NULL;

-- Partitions that a process handles events of. The row goes when it stops in order: who finds another's knows that a process
-- was lost, perhaps by what it was handling.
CREATE TABLE acme.handling (
    consumer text NOT NULL,
    topic text NOT NULL,
    partition integer NOT NULL,
    holder text NOT NULL, -- one assignment of one process
    PRIMARY KEY (consumer, topic, partition)
);

-- Events that were begun after a process was lost: how many processes have begun it, and did not live to end it.
CREATE TABLE acme.attempts (
    consumer text NOT NULL,
    event_id text NOT NULL,
    holder text NOT NULL, -- the last who began it
    lives integer NOT NULL,
    begun_at timestamptz NOT NULL,
    PRIMARY KEY (consumer, event_id)
);
