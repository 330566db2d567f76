"""The tables of the log, and how a database comes to have them.

`MIGRATIONS` are applied in order, once each, by whoever comes first; none of them ever changes again.
"""

from __future__ import annotations

from typing import Final

from acme.ports import Database

CHANNEL: Final = "acme_bus"
"""Of the notifications: "p" and ids of partitions that have new records, none for perhaps all; or "g" and a group's id."""

_LOCK: Final = 0x61636D65_62757300  # "acmebus"
_VERSION: Final = "CREATE TABLE IF NOT EXISTS migrations (number int PRIMARY KEY)"

_FIRST: Final = r"""
CREATE TABLE topics (
    id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name text NOT NULL CONSTRAINT topics_name UNIQUE,
    partitions int NOT NULL CHECK (partitions > 0),
    retention double precision NOT NULL, -- seconds, 0 for ever
    compact boolean NOT NULL
);

-- One row a log. Whoever appends holds it until the commit: so offsets have no gaps, and their order is that of the commits.
CREATE TABLE partitions (
    id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    topic_id int NOT NULL REFERENCES topics,
    number int NOT NULL,
    start_offset bigint NOT NULL DEFAULT 0,
    next_offset bigint NOT NULL DEFAULT 0,
    CONSTRAINT partitions_place UNIQUE (topic_id, number)
) WITH (fillfactor = 20);

-- What one append brought to one log, in one row. No foreign key: the row of the log is held by whoever inserts.
CREATE TABLE batches (
    partition_id int NOT NULL,
    end_offset bigint NOT NULL, -- of the record after the last
    length int NOT NULL, -- how many records
    appended_at timestamptz NOT NULL,
    bytes int NOT NULL, -- of `content`
    content bytea NOT NULL, -- MessagePack, see batches.py
    PRIMARY KEY (partition_id, end_offset)
);
ALTER TABLE batches ALTER COLUMN content SET STORAGE EXTERNAL; -- payloads are short and dense: pglz costs more than it saves

CREATE TABLE sources (
    id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name text NOT NULL CONSTRAINT sources_name UNIQUE
);

-- Which records are in the log, for seven days.
CREATE TABLE appended (
    source_id int NOT NULL,
    id text COLLATE "C" NOT NULL,
    at timestamptz NOT NULL,
    PRIMARY KEY (source_id, id)
);
CREATE INDEX appended_at ON appended (at);

CREATE TABLE groups (
    id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name text NOT NULL CONSTRAINT groups_name UNIQUE,
    generation bigint NOT NULL DEFAULT 0 -- counts changes; its row is held by whoever makes one
) WITH (fillfactor = 20);

CREATE TABLE members (
    group_id int NOT NULL REFERENCES groups,
    name text NOT NULL, -- outlives restarts where the process chose it
    life text, -- which of its lives: what owns partitions; NULL after it left in order, and is awaited back
    topics text[] NOT NULL,
    drain double precision NOT NULL, -- seconds it may take to give a partition up
    lease_until timestamptz NOT NULL,
    PRIMARY KEY (group_id, name)
) WITH (fillfactor = 20);

CREATE TABLE positions (
    group_id int NOT NULL REFERENCES groups,
    partition_id int NOT NULL,
    committed bigint, -- offset that comes next; NULL before the first commit
    began bigint, -- where the group began, so that it does not begin anew with every owner before that
    owner text, -- life of the member that reads it
    target text, -- name of the member that is to read it
    yield_by timestamptz, -- when another may have it, although its owner did not give it up
    PRIMARY KEY (group_id, partition_id)
) WITH (fillfactor = 30);

-- The tables that are small and always written: their dead rows are pruned by HOT updates, and by a vacuum that comes early.
ALTER TABLE partitions SET (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 500);
ALTER TABLE groups SET (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 500);
ALTER TABLE members SET (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 500);
ALTER TABLE positions SET (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 500);
ALTER TABLE batches SET (autovacuum_vacuum_scale_factor = 0.05, autovacuum_vacuum_insert_scale_factor = 0.5);
ALTER TABLE appended SET (autovacuum_vacuum_scale_factor = 0.05, autovacuum_vacuum_insert_scale_factor = 0.5);

-- Appends, in one round trip. False: some of the ids (one a line) are there already, and nothing was done.
CREATE FUNCTION append(of_source int, ids text, now_is timestamptz, places int[], lengths int[], contents bytea[])
RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
    part record;
    last bigint;
BEGIN
    -- Not ON CONFLICT: it looks everything up twice, 1.6 ms in place of 0.8 for 500 ids, and this hardly ever happens.
    INSERT INTO appended SELECT of_source, given, now_is FROM string_to_table(ids, E'\n') AS given;
    FOR part IN SELECT * FROM unnest(places, lengths, contents) AS given (place, length, content) LOOP
        UPDATE partitions SET next_offset = next_offset + part.length WHERE id = part.place RETURNING next_offset INTO last;
        INSERT INTO batches (partition_id, end_offset, length, appended_at, bytes, content)
        VALUES (part.place, last, part.length, now_is, octet_length(part.content), part.content);
    END LOOP;
    PERFORM pg_notify(
        'acme_bus', CASE WHEN cardinality(places) <= 500 THEN 'p' || array_to_string(places, ',') ELSE 'p' END
    );
    RETURN true;
EXCEPTION
    WHEN unique_violation THEN RETURN false;
END $$;

-- The next batches of partitions after these offsets: as many as it takes for `most` records or `size` bytes, in the order
-- of the places. By the index, batch after batch: a bitmap of all that is left would be made anew for every portion.
CREATE FUNCTION next_batches(places int[], positions bigint[], most int, size bigint)
RETURNS TABLE (partition_id int, end_offset bigint, length int, content bytea)
LANGUAGE plpgsql STABLE SET enable_bitmapscan = off AS $$
#variable_conflict use_column
BEGIN
    RETURN QUERY
    SELECT found.partition_id, found.end_offset, found.length, found.content
    FROM (
        SELECT wanted.place, batch.*,
            sum(batch.bytes) OVER so_far - batch.bytes AS bytes_before,
            sum(batch.length) OVER so_far - batch.length AS records_before
        FROM unnest(places, positions) WITH ORDINALITY AS wanted (id, position, place)
        CROSS JOIN LATERAL (
            SELECT * FROM batches WHERE batches.partition_id = wanted.id AND batches.end_offset > wanted.position
            ORDER BY batches.end_offset LIMIT most
        ) AS batch
        WINDOW so_far AS (ORDER BY wanted.place, batch.end_offset)
    ) AS found
    WHERE bytes_before < size AND records_before < most
    ORDER BY found.place, found.end_offset;
END $$;

-- Commits what a life of a member has read, all of it or nothing. False: one of the partitions is not its own.
CREATE FUNCTION commit_offsets(of_group int, of_owner text, places int[], offsets bigint[])
RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
    held int;
BEGIN
    SELECT count(*) INTO held FROM (
        SELECT 1 FROM positions WHERE group_id = of_group AND partition_id = ANY (places) AND owner = of_owner
        ORDER BY partition_id FOR UPDATE
    ) AS mine;
    IF held < cardinality(places) THEN
        RETURN false;
    END IF;
    UPDATE positions SET committed = greatest(committed, given.next)
    FROM unnest(places, offsets) AS given (place, next)
    WHERE group_id = of_group AND partition_id = given.place;
    RETURN true;
END $$;
"""

MIGRATIONS: Final = (_FIRST,)


async def migrate(database: Database) -> None:
    """Applies what is missing, each migration in a transaction of its own. Several processes may call it at once.

    Raises:
        RuntimeError: the database was made by a newer release.
        acme.errors.Unavailable: it cannot be reached.
    """
    async with database.connection() as connection:
        await connection.fetchval("SELECT pg_advisory_lock($1)", _LOCK)
        try:
            await connection.execute(_VERSION)
            last = await connection.fetchval("SELECT coalesce(max(number), 0) FROM migrations")
            if last > len(MIGRATIONS):
                raise RuntimeError(
                    f"the log's database has schema {last}, this release knows {len(MIGRATIONS)}: run the newer release"
                )
            for number, sql in enumerate(MIGRATIONS[last:], last + 1):
                await connection.begin()
                await connection.execute(sql)
                await connection.execute("INSERT INTO migrations VALUES ($1)", number)
                await connection.commit()
        finally:
            # A failure may have left a transaction open, in which no other statement would work.
            await connection.execute(f"ROLLBACK; SELECT pg_advisory_unlock({_LOCK})")
