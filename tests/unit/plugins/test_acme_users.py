"""The declaration: tables, settings and jobs."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from acme_users import PURGE_BATCH, Settings
from acme_users import plugin as users_plugin
from acme_users.signing import LONGEST_LIFE, SPAN
from acme_users.throttles import KEPT, MAIL_WINDOW, WINDOW

from acme import Pages, Plugin, Resources, TokenProfile
from acme.drivers.clock import SystemClock
from acme.drivers.files import Files
from acme.drivers.memory import open_cache
from acme.drivers.vault import Vault
from acme.telemetry import Metrics
from acme.testing.databases import FreshDatabase
from acme.tokens import TokenSettings


@pytest.fixture(scope="module")
def plugins() -> list[Plugin]:
    return [users_plugin]


async def test_every_foreign_key_is_indexed_from_its_first_column(database: FreshDatabase) -> None:
    missing = await database.fetch(
        """
        SELECT c.conrelid::regclass::text, c.conname FROM pg_constraint AS c
        WHERE c.contype = 'f' AND c.connamespace = 'public'::regnamespace AND NOT EXISTS (
            SELECT FROM pg_index AS i WHERE i.indrelid = c.conrelid
            -- What references nothing need not be in it.
            AND coalesce(pg_get_expr(i.indpred, i.indrelid), '(custom_role IS NOT NULL)') = '(custom_role IS NOT NULL)'
            AND (string_to_array(i.indkey::text, ' ')::int2[])[1:cardinality(c.conkey)] = c.conkey)
        """
    )
    assert [tuple(row) for row in missing] == []
    assert await database.fetchval("SELECT count(*) FROM pg_constraint WHERE contype = 'f'") >= 5


def test_the_defaults_are_those_of_the_contract() -> None:
    settings = Settings()
    assert settings == Settings(
        require_verified_email=False, access_token_seconds=600, refresh_token_days=30, hash_threads=2, hash_queue=32
    )


@pytest.mark.parametrize(
    "values",
    [
        {"access_token_seconds": 901},
        {"access_token_seconds": 59},
        {"refresh_token_days": 0},
        {"hash_threads": 0},
        {"hash_queue": -1},
        {"require_verified_email": "yes"},
        {"unknown": 1},
    ],
    ids=str,
)
def test_settings_out_of_bounds_are_refused(values: dict[str, Any]) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(values, Settings)


def test_no_access_token_lives_longer_than_verifiers_allow_and_remember() -> None:
    assert timedelta(seconds=TokenSettings().longest_life) == LONGEST_LIFE
    assert SPAN > LONGEST_LIFE


async def test_the_purge_deletes_what_has_expired_however_much_it_is_and_nothing_else(
    database: FreshDatabase, tmp_path: Path
) -> None:
    clock, vault = SystemClock(), Vault(bytes(32))
    now = clock.now()
    await database.execute(
        """
        INSERT INTO authority_changes (sequence, session_id, created_at)
        SELECT number, 'ses', CASE WHEN number <= $1 THEN $2::timestamptz ELSE $3 END
        FROM generate_series(1, $1 + 3) AS number
        """,
        2 * PURGE_BATCH + 5,
        now - SPAN - timedelta(minutes=1),
        now - SPAN + timedelta(minutes=1),
    )
    await database.execute(
        """
        INSERT INTO email_verifications (digest, email, email_key, password_hash, display_name, expires_at)
        VALUES ('old', 'a', 'a', 'h', 'n', $1), ('new', 'a', 'a', 'h', 'n', $2)
        """,
        now - timedelta(seconds=1),
        now + timedelta(hours=1),
    )
    await database.execute(
        """
        WITH tokens AS (
            INSERT INTO mail_tokens (digest, purpose, email, email_key, expires_at)
            VALUES ('old', 'reset_password', 'a', 'a', $1), ('new', 'reset_password', 'a', 'a', $2)
        ), attempts AS (
            INSERT INTO account_attempts (account, attempts, attempted_at)
            VALUES ('old', 1, $1::timestamptz - $3::interval), ('new', 1, $2::timestamptz - $3::interval)
        ), failures AS (
            INSERT INTO address_failures (address, account, failed_at)
            VALUES ('old', 'a', $1::timestamptz - $4::interval), ('new', 'a', $2::timestamptz - $4::interval)
        )
        INSERT INTO mail_quotas (recipient, sent_at)
        VALUES ('old', ARRAY[$1::timestamptz - $5::interval]),
               ('new', ARRAY[$2::timestamptz - $5::interval, $1::timestamptz - $5::interval])
        """,
        now - timedelta(seconds=1),
        now + timedelta(hours=1),
        KEPT,
        WINDOW,
        MAIL_WINDOW,
    )
    resources = Resources(
        name="users",
        settings=Settings(),
        database=database,
        cache=open_cache("memory:", clock=clock, metrics=Metrics()).space("users"),
        directory=_nobody,
        clock=clock,
        cipher=vault,
        archive=Files(tmp_path),
        pages=Pages(vault),
        tokens=TokenProfile("issuer", "audience"),
        region="local",
        public_url="https://acme.test",
    )
    [purge] = [job for job in users_plugin.jobs if job.name == "purge"]
    await purge.run(resources)
    left = await database.fetch("SELECT sequence FROM authority_changes ORDER BY sequence")
    assert [row[0] for row in left] == [2 * PURGE_BATCH + 5 + number for number in (1, 2, 3)]
    for table, name in (
        ("email_verifications", "digest"),
        ("mail_tokens", "digest"),
        ("account_attempts", "account"),
        ("address_failures", "address"),
        ("mail_quotas", "recipient"),
    ):
        kept = await database.fetch(f"SELECT {name} FROM {table}")  # noqa: S608 - of the list above
        assert [row[0] for row in kept] == [b"new"], table


class _Nobody:
    """A directory without services: the plugin calls none."""

    def client(self, stub: type[Any]) -> Any:
        raise LookupError(stub)


_nobody = _Nobody()
