-- Who runs what only one of several equal processes may run at a time: see acme/runtime/leases.py.

CREATE TABLE acme.leases (
    name text PRIMARY KEY, -- of the job
    holder text NOT NULL, -- one start of one process
    until timestamptz NOT NULL -- who does not renew it before loses it
);
