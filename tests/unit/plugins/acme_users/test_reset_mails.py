"""The mail that a reset asks for: written after the reply, and after nothing that depends on the address."""

from __future__ import annotations

from acme.ports import Database
from acme.testing import Platform
from acme.testing import User as Caller
from tests.accounts import request_reset, told
from tests.people import People, new_email
from tests.unit.plugins.acme_users.test_sessions import waiting


async def test_the_answer_comes_before_anybody_looks_the_address_up(
    platform: Platform, people: People, observed: Database, ann: Caller
) -> None:
    """The test keeps everybody from reading accounts: only the mail waits."""
    async with observed.connection() as connection:
        await connection.begin()
        await connection.execute("LOCK TABLE users IN ACCESS EXCLUSIVE MODE")
        for email in (ann.email, new_email()):
            await request_reset(people, email)
        await waiting(observed, 2)
        await connection.commit()
    await told(platform, ann.email, "Set another password")


async def test_one_mail_is_sent_for_each_request_whoever_has_the_address(
    platform: Platform, people: People, ann: Caller
) -> None:
    await people.sign_up(unproved := new_email())
    for email, said in ((new_email(), 1), (unproved, 2), (ann.email, 2)):
        await request_reset(people, email)
        await platform.mailbox.wait(email, number=said)
        assert len(platform.mailbox.list(email)) == said


async def test_a_token_is_made_for_those_alone_who_proved_the_address(
    platform: Platform, people: People, observed: Database, ann: Caller
) -> None:
    await people.sign_up(unproved := new_email())
    nobody = new_email()
    for email in (nobody, unproved, ann.email):
        await request_reset(people, email)
    await told(platform, ann.email, "Set another password")
    for email in (nobody, unproved):
        await told(platform, email, "There is no account with this address")
    async with observed.connection() as connection:
        sql = "SELECT email FROM mail_tokens WHERE email = ANY($1)"
        assert [row[0] for row in await connection.fetch(sql, [nobody, unproved, ann.email])] == [ann.email]
