-- The request that asked for a delivery: lines of the log name it, and the delivery is a step of its trace.
ALTER TABLE acme.deliveries
    ADD COLUMN request_id text NOT NULL DEFAULT '', -- '': no request did
    ADD COLUMN traceparent text NOT NULL DEFAULT ''; -- W3C; '': it is in no trace
