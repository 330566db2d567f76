-- The outbox again, for the bus: see acme/bus/relay.py. Before there was a bus nobody read it, so nothing is carried over.
--
-- Rows are deleted once they are on the bus. Its partitions are ranges of ids: one that is past is dropped whole, so that
-- what was deleted takes no room for ever, even while an old snapshot keeps VACUUM from cleaning up.

DROP TABLE acme.outbox;
CREATE TABLE acme.outbox (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, -- given out just before the commit, under the aggregate's lock
    event_id text NOT NULL, -- "evt_…": the same wherever the event goes
    topic text NOT NULL,
    key text NOT NULL CHECK (key <> ''), -- "organisation:aggregate"
    type text NOT NULL, -- full name of the message
    payload bytea NOT NULL, -- Avro in Confluent's wire format
    headers jsonb NOT NULL, -- request_id, traceparent, principal_kind, principal_id
    created_at timestamptz NOT NULL
) PARTITION BY RANGE (id);

-- Takes what no other partition does; the relay makes those ahead of time.
CREATE TABLE acme.outbox_rest PARTITION OF acme.outbox DEFAULT;
