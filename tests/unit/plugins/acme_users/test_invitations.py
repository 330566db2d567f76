"""Invitations, as far as no contract shows them: their tokens, their mails, and how they are cleared away."""

from __future__ import annotations

import base64
import hashlib
import json
import shlex
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
from acme_users import plugin as users_plugin
from acme_users.invitations import LIFE
from acme_users.mails import NAME, _tame
from hypothesis import given
from hypothesis import strategies as st

from acme.contracts.users.v1 import AcceptInvitationRequest
from acme.plugin import Plugin
from acme.testing import Platform
from tests.offices import Office, looking
from tests.people import new_email
from tests.waiting import until


@pytest.fixture(scope="module")
def plugins() -> list[Plugin]:
    """The jobs run all the time."""
    return [replace(users_plugin, jobs=tuple(replace(job, every=0.05) for job in users_plugin.jobs))]


@pytest.fixture
async def office(platform: Platform) -> AsyncIterator[Office]:
    async with looking(platform, "users") as users, Office.opened(platform, users) as office:
        yield office


async def test_a_token_has_256_random_bits_of_which_the_database_has_the_digest(office: Office) -> None:
    emails = [new_email() for _ in range(5)]
    for email in emails:
        await office.invite(email)
    tokens = [await office.token(email) for email in emails]
    assert len(set(tokens)) == 5
    for token in tokens:
        prefix, secret = token[:4], token[4:]
        assert prefix == "aci_"
        assert len(base64.urlsafe_b64decode(secret + "=")) == 32
    stored = await office.database.fetch("SELECT digest FROM invitations WHERE organization_id = $1", office.id)
    assert {row[0] for row in stored} == {hashlib.sha256(token.encode()).digest() for token in tokens}


async def test_an_invitation_that_nobody_accepted_is_deleted(platform: Platform, office: Office) -> None:
    await office.invite(new_email())
    platform.clock.advance(LIFE)

    async def gone() -> bool:
        return not await office.database.fetchval(
            "SELECT count(*) FROM invitations WHERE organization_id = $1", office.id
        )

    await until(gone)


async def test_the_command_in_the_mail_is_one_that_a_shell_reads(platform: Platform, office: Office) -> None:
    ann = await office.stranger()
    await office.invite(ann.email)
    mail = await platform.mailbox.wait(ann.email)
    command = shlex.split(mail.text[mail.text.index("curl") :].split("\n\n")[0].replace("\\\n", " "))
    assert command[:4] == ["curl", "-X", "POST", "https://acme.test/v1/invitations:accept"]
    assert "Authorization: Bearer $TOKEN" in command  # for a shell to fill in
    body = json.loads(command[command.index("-d") + 1])
    reply = await office.invitations(ann).accept_invitation(AcceptInvitationRequest(token=body["token"]))
    assert reply.organization_id == office.id


@given(name=st.text(max_size=200))
def test_no_name_makes_a_link_a_line_or_a_long_text_in_a_mail(name: str) -> None:
    tamed = _tame(name)
    assert tamed[0] == tamed[-1] == '"'
    assert len(tamed) <= NAME + 2
    assert all(letter.isalnum() or letter in " -&'" for letter in tamed[1:-1])
    assert _tame(tamed) == tamed


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("Ann's Café & Söhne-Werke 2", "Ann's Café & Söhne-Werke 2"),
        ("https://evil.example/x", "https evil example x"),
        ("a\n\nb\t<b>c</b>", "a b b c b"),
        ("日本語の会社", "日本語の会社"),
        ("?!", ""),
    ],
)
def test_names_stay_as_they_are_as_far_as_they_are_names(name: str, shown: str) -> None:
    assert _tame(name) == f'"{shown}"'
