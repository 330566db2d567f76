"""What went wrong at others, over HTTP: one test an incident, named after it."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest

from acme.testing import Client, Platform, User
from acme.testing.people import PASSWORD
from tests.accounts import mailed, resets, told
from tests.people import OTHER, People, new_email

pytestmark = pytest.mark.every_placement

SPOOFED = {
    "Forwarded": "for=198.51.100.9;host=evil.example;proto=http",
    "X-Forwarded-Host": "evil.example",
    "X-Forwarded-Proto": "http",
    "X-Forwarded-Server": "evil.example",
    "X-Original-Host": "evil.example",
    "X-Rewrite-URL": "http://evil.example/",
    "Referer": "https://evil.example/",
    "Origin": "https://evil.example",
}


@pytest.fixture
async def ada(platform: Platform) -> User:
    return await platform.sign_up(new_email())


@pytest.fixture
def anybody(platform: Platform) -> Client:
    return platform.client()


async def reset(people: People, anybody: Client, email: str, password: str = OTHER) -> None:
    before = resets(people.platform, email)
    (await anybody.post("/v1/users:requestPasswordReset", {"email": email})).expect(202)
    token = await mailed(people, email, "reset-password", number=before + 1)
    (await anybody.post("/v1/users:resetPassword", {"token": token, "new_password": password})).expect(204)


async def refused_within(client: Client, path: str, seconds: float) -> None:
    """Returns when the answer is 401, which it is to whoever asks later than that."""
    until = time.monotonic() + seconds
    while True:
        late = time.monotonic() > until
        if (reply := await client.get(path)).status == 401:
            return
        assert not late, f"still {reply.status} after {seconds:g} s"
        await asyncio.sleep(0.01)


async def test_cve_2023_22492_after_a_reset_no_session_refreshes_and_no_token_works(
    platform: Platform, people: People, ada: User, anybody: Client
) -> None:
    """Zitadel: a locked user went on refreshing. Here sessions, access tokens and those for programs end within a second."""
    client = platform.client(ada)
    made = (await client.post("/v1/tokens", {"name": "CI", "scopes": ["*"], "expires_in_days": 7})).expect(201)
    program = Client(platform.url, made["secret"])
    async with program:
        for caller in (client, program):
            (await caller.get("/v1/users/me")).expect(200)
        await reset(people, anybody, ada.email)
        await asyncio.gather(*(refused_within(caller, "/v1/users/me", 1.0) for caller in (client, program)))
    refresh = await anybody.post("/v1/sessions:refresh", {"refresh_token": ada.refresh_token})
    assert refresh.status in (400, 401)
    again = await platform.log_in(ada.email, password=OTHER)
    fresh = platform.client(again)
    (await fresh.get("/v1/users/me")).expect(200)
    assert (await fresh.get("/v1/tokens")).expect(200)["tokens"] == []
    made = (await fresh.post("/v1/tokens", {"name": "CI", "scopes": ["*"], "expires_in_days": 7})).expect(201)
    async with Client(platform.url, made["secret"]) as program:
        (await program.get("/v1/users/me")).expect(200)


@pytest.mark.parametrize(
    "body",
    [
        b'{"email": ["%s", "evil@example.com"]}',
        b'{"email": {"0": "%s", "1": "evil@example.com"}}',
        b'{"email": "%s", "email": "evil@example.com"}',
        b'{"email": "evil@example.com", "email": "%s"}',
        b'{"email": "%s,evil@example.com"}',
        b'{"email": "%s;evil@example.com"}',
        b'{"email": "%s evil@example.com"}',
        b'{"email": "%s\\nbcc: evil@example.com"}',
        b'{"email": "%s\\u0000evil@example.com"}',
        b'{"email": "%s\\u2028evil@example.com"}',
        b'{"email": "<%s> evil@example.com"}',
        b'{"email": "%s", "emails": ["evil@example.com"]}',
    ],
)
async def test_cve_2023_7028_a_reset_goes_to_one_address_and_that_is_the_stored_one(
    platform: Platform, people: People, ada: User, anybody: Client, body: bytes
) -> None:
    """GitLab: an array of two addresses, of which one was proved, sent the token to both."""
    written = body.replace(b"%s", ada.email.encode())
    for path in ("/v1/users:requestPasswordReset", "/v1/users"):
        headers = {"Content-Type": "application/json"}
        reply = await anybody.request("POST", path, body=written, headers=headers)
        assert reply.status == 422, reply.body
    (await anybody.post("/v1/users:requestPasswordReset", {"email": ada.email.upper()})).expect(202)
    await told(platform, ada.email, "Set another password")
    assert resets(platform, ada.email) == 1
    assert [mail.to for mail in platform.mailbox.list() if "evil" in mail.to or mail.to == ada.email.upper()] == []


async def test_cve_2023_7028_an_address_that_only_looks_like_the_stored_one_gets_no_token(
    platform: Platform, ada: User, anybody: Client
) -> None:
    """What some databases and mail servers take for one mailbox is two here; what the DNS takes for one domain is one, and
    the mail goes to the stored spelling."""
    for likeness in ("\u0430nn", "a\uff4en", "a\u0144n"):  # Cyrillic, fullwidth, an accent
        looks = ada.email.replace("ann", likeness, 1)
        reply = await anybody.post("/v1/users:requestPasswordReset", {"email": looks})
        assert reply.status in (202, 422)
        if reply.status == 202:
            await told(platform, looks, "There is no account with this address")
    assert resets(platform, ada.email) == 0
    domain = ada.email.replace("@example", "@\u212fxample")
    (await anybody.post("/v1/users:requestPasswordReset", {"email": domain})).expect(202)
    await told(platform, ada.email, "Set another password")
    assert platform.mailbox.list(domain) == []


async def test_cve_2023_49097_and_cve_2025_64101_links_have_the_configured_origin_whatever_a_request_says(
    platform: Platform, people: People, ada: User, anybody: Client
) -> None:
    """Zitadel, twice: the link in the mail pointed at whatever Host or Forwarded said."""
    email, client = new_email(), platform.client(ada)
    account = {"email": email, "password": PASSWORD, "display_name": "Eve"}
    for headers in ({"Host": "evil.example"}, SPOOFED, {**SPOOFED, "Host": "evil.example:443"}):
        (await anybody.post("/v1/users", account, headers=headers)).expect(202)
        (await anybody.post("/v1/users:requestPasswordReset", {"email": ada.email}, headers=headers)).expect(202)
        (await client.post("/v1/users/me:changeEmail", {"new_email": new_email()}, headers=headers)).expect(202)
    await told(platform, email, "Confirm your e-mail address", number=3)
    await told(platform, ada.email, "Set another password", number=3)
    await told(platform, ada.email, "Your account is about to move to another address", number=3)
    mails = platform.mailbox.list()
    assert [mail for mail in mails if "evil" in mail.text] == []
    assert {link.split("/", 3)[2] for mail in mails for link in mail.links} == {"acme.test"}


async def test_stage_door_153_a_token_for_one_address_moves_no_account_to_another(
    platform: Platform, people: People, ada: User, anybody: Client
) -> None:
    """newtheatre/stage-door#153: a token was good for whatever address the account waited for by then."""
    client, first, second = platform.client(ada), new_email(), new_email()
    for address in (first, second):
        (await client.post("/v1/users/me:changeEmail", {"new_email": address})).expect(202)
    token = await mailed(people, first, "confirm-email")
    moved = (await anybody.post("/v1/users:confirmEmailChange", {"token": token})).expect(200)
    assert moved["email"] == first
    other = await mailed(people, second, "confirm-email")
    assert (await anybody.post("/v1/users:confirmEmailChange", {"token": other})).status == 422
    for method in ("verifyEmail", "undoEmailChange"):
        assert (await anybody.post(f"/v1/users:{method}", {"token": other})).status == 422


async def test_devise_3691_a_move_voids_the_reset_that_waits_in_the_old_mailbox(
    people: People, platform: Platform, ada: User, anybody: Client
) -> None:
    """heartcombo/devise#3691: whoever reads the mailbox that the account has left sets its password."""
    client, new = platform.client(ada), new_email()
    (await anybody.post("/v1/users:requestPasswordReset", {"email": ada.email})).expect(202)
    waiting = await mailed(people, ada.email, "reset-password")
    (await client.post("/v1/users/me:changeEmail", {"new_email": new})).expect(202)
    token = await mailed(people, new, "confirm-email")
    (await anybody.post("/v1/users:confirmEmailChange", {"token": token})).expect(200)
    body: dict[str, Any] = {"token": waiting, "new_password": OTHER}
    assert (await anybody.post("/v1/users:resetPassword", body)).status == 422
    await platform.log_in(new)


async def test_authorizer_503_and_karakeep_2921_a_reset_never_hands_over_an_account_that_somebody_else_began(
    platform: Platform, people: People, anybody: Client
) -> None:
    """Pre-hijacking: a thief signs up with the owner's address and waits for the owner to take the account over. A reset
    of an address that nobody proved gives nothing; proving it gives a fresh account, and the thief's is out."""
    email = new_email()
    await people.sign_up(email, name="The thief")
    thief = await platform.log_in(email)
    (await anybody.post("/v1/users:requestPasswordReset", {"email": email})).expect(202)
    mail = await told(platform, email, "There is no account with this address")
    assert mail.links == ()
    await people.sign_up(email, OTHER, name="The owner")
    token = await mailed(people, email, "verify-email", number=2)
    owner = (await anybody.post("/v1/users:verifyEmail", {"token": token})).expect(200)
    assert owner["id"] != thief.id
    await refused_within(platform.client(thief), "/v1/users/me", 1.0)
    assert (await anybody.post("/v1/sessions:refresh", {"refresh_token": thief.refresh_token})).status == 401
    assert (await platform.log_in(email, password=OTHER)).id == owner["id"]


async def test_keycloak_51887_answers_tell_nobody_whether_an_address_is_known(
    platform: Platform, people: People, ada: User, anybody: Client
) -> None:
    """Status, body and headers; that the work is equal, too, is in test_proof.py and measured by `make soak`."""
    await people.sign_up(unproved := new_email())
    said: dict[str, set[tuple[int, bytes, frozenset[tuple[str, str]]]]] = {}
    for email in (new_email(), unproved, ada.email):
        log_in = {"email": email, "password": OTHER}
        account = {"email": email, "password": PASSWORD, "display_name": "Ada"}
        steps = [("reset", "/v1/users:requestPasswordReset", {"email": email}), ("sign-up", "/v1/users", account)]
        steps += [(f"log-in {number}", "/v1/sessions", log_in) for number in range(7)]
        for name, path, body in steps:
            reply = await anybody.post(path, body, headers={"X-Request-Id": "the-same"})
            headers = frozenset(
                (key.lower(), value) for key, value in reply.headers.items() if key.lower() not in VARYING
            )
            said.setdefault(name, set()).add((reply.status, reply.body, headers))
    assert {name: len(answers) for name, answers in said.items()} == dict.fromkeys(said, 1)
    assert {next(iter(said[f"log-in {number}"]))[0] for number in range(5)} == {401}
    assert next(iter(said["log-in 5"]))[0] == 429


VARYING = {"date", "ratelimit", "ratelimit-policy"}
"""Headers that say when, and how many requests an address of a client has left."""
