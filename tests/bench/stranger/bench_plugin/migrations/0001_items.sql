CREATE TABLE items (
    id text PRIMARY KEY,
    name text NOT NULL,
    owner_id text NOT NULL,
    created_at timestamptz NOT NULL,
    labels jsonb NOT NULL,
    tags text[] NOT NULL,
    state integer NOT NULL,
    version bigint NOT NULL,
    description text NOT NULL
);
INSERT INTO items
SELECT 'itm_' || n, 'Apollo lander', 'usr_01hxyz', '2026-03-01T09:30:00.125125Z', '{"a": "b", "c": "d"}', '{x,y}', 1, 7, 'hello'
FROM generate_series(1, 1000) AS n;
