"""The mails, as they arrive."""

from __future__ import annotations

import json
import re
import shlex

from acme.testing import Platform
from tests.people import People, new_email


async def test_links_point_at_the_configured_origin_and_nowhere_else(platform: Platform, people: People) -> None:
    await people.verified(email := new_email())
    await people.sign_up(email)
    await platform.mailbox.wait(email, number=2)
    mails = platform.mailbox.list(email)
    origins = {
        re.sub(r"(https?://[^/\s]+).*", r"\1", url)
        for mail in mails
        for url in re.findall(r"https?://[^\s]+", mail.text)
    }
    assert {origin.rstrip(".") for origin in origins} == {"https://acme.test"}


async def test_the_command_in_the_mail_is_one_that_a_shell_reads(platform: Platform, people: People) -> None:
    await people.sign_up(email := new_email())
    mail = await platform.mailbox.wait(email)
    command = shlex.split(mail.text[mail.text.index("curl") :].split("\n\n")[0].replace("\\\n", " "))
    assert command[:4] == ["curl", "-X", "POST", "https://acme.test/v1/users:verifyEmail"]
    body = json.loads(command[command.index("-d") + 1])
    assert (await people.verify(body["token"])).email == email


async def test_a_mail_to_the_owner_of_a_proved_address_holds_nothing_to_act_with(
    platform: Platform, people: People
) -> None:
    await people.verified(email := new_email())
    await people.sign_up(email)
    mail = await platform.mailbox.wait(email, number=2)
    assert "acv_" not in mail.text
    assert mail.links == ()
