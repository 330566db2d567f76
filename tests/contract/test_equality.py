"""One long journey over REST in every placement: after the declared canonicaliser (tests/canonical.py), every answer and
every row of the outboxes is equal byte for byte.

The reference is a journey in the placement "local" on a platform of its own, so that "local" is compared as well: with
itself, which shows that the canonicaliser takes out all that differs from run to run.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import pytest_asyncio
from acme_projects import plugin as projects_plugin
from acme_users import plugin as users_plugin

from acme.contract import load
from acme.plugin import Plugin
from acme.testing import PASSWORD, Platform, Reply, Server
from tests.canonical import Published, answer, canonical, difference, opened, settled
from tests.waiting import until

ANN, BOB = "ann@example.com", "bob@example.com"
TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
KINDS = {200, 201, 202, 204, 400, 401, 404, 405, 409, 412, 413, 415, 422}
"""Statuses that the journey has to meet. No 403: whoever logs in has every scope, and what is not theirs is not found."""

PLUGINS = [users_plugin, projects_plugin]
SETTINGS = {"gateway": {"max_body": 65_536}}
"""Bodies that are too large need not be large."""


@pytest.fixture(scope="module")
def plugins() -> Sequence[Plugin]:
    return PLUGINS


@pytest.fixture(scope="module")
def settings() -> Mapping[str, Any]:
    return SETTINGS


class Journey:
    """Asks, and writes down what is answered."""

    def __init__(self, platform: Platform) -> None:
        self.platform = platform
        self.lines: list[str] = []
        self.statuses: set[int] = set()

    async def ask(
        self,
        route: str,
        content: Any = None,
        *,
        by: str = "",
        raw: bytes | None = None,
        headers: dict[str, str] | None = None,
    ) -> Reply:
        """Sends "VERB /path", with an access token if given. Every request has an id and a trace of its own choice."""
        verb, path = route.split(" ", 1)
        number = len(self.lines) + 1
        sent = {"X-Request-Id": f"step-{number}", "traceparent": TRACE, **(headers or {})}
        if by:
            sent["Authorization"] = f"Bearer {by}"
        if raw is not None:
            sent = {"Content-Type": "application/json"} | sent
        client = self.platform.client()
        reply = await settled(lambda: client.request(verb, path, content, body=raw, headers=sent))
        self.statuses.add(reply.status)
        self.lines.append(f"{number}. {route}\n{answer(reply)}")
        return reply

    async def token_of_mail(self, address: str, number: int) -> str:
        """The token in a mail, which is written down without it."""
        mail = await self.platform.mailbox.wait(address, number=number)
        token = parse_qs(urlsplit(mail.links[0]).query)["token"][0] if mail.links else "none"
        text = mail.text.replace(token, "<token>").replace("\n", "\n  ")
        self.lines.append(f"mail to {address}: {mail.subject}\n  {text}")
        return token

    async def rejected(self, token: str) -> None:
        """Waits until an access token has stopped working, which a revocation takes up to a second to do."""

        async def gone() -> bool:
            headers = {"Authorization": f"Bearer {token}"}
            return (await self.platform.client().get("/v1/users/me", headers=headers)).status == 401

        await until(gone)


async def sign_up(on: Journey) -> None:
    account = {"email": ANN, "password": PASSWORD, "display_name": "Ann"}
    await on.ask("POST /v1/users", account)
    token = await on.token_of_mail(ANN, 1)
    await on.ask("POST /v1/users", account | {"email": "ANN@example.com", "display_name": "Not Ann"})
    await on.token_of_mail("ANN@example.com", 1)
    for wrong in (
        {"email": "nobody"},
        {"password": "short"},
        {"display_name": ""},
        {"display_name": "two\nlines"},
        {"age": 7},
        {"email": 7},
        {"email": None},
        {"password": "x" * 1025},
    ):
        await on.ask("POST /v1/users", account | wrong)
    await on.ask("POST /v1/users:verifyEmail", {"token": "acv_nonsense"})
    await on.ask("POST /v1/users:verifyEmail", {"token": token})
    await on.ask("POST /v1/users:verifyEmail", {"token": token})
    await on.ask("POST /v1/users", account)
    await on.token_of_mail(ANN, 2)


async def log_in(on: Journey, email: str, password: str = PASSWORD) -> dict[str, Any]:
    reply = await on.ask("POST /v1/sessions", {"email": email, "password": password}, headers={"User-Agent": "Phone"})
    tokens: dict[str, Any] = reply.json
    return tokens


async def profile(on: Journey, by: str) -> None:
    me = await on.ask("GET /v1/users/me", by=by)
    await on.ask("HEAD /v1/users/me", by=by)
    tag = me.headers["ETag"]
    await on.ask("PATCH /v1/users/me", {"display_name": "Änn 名"}, by=by, headers={"If-Match": tag})
    await on.ask("PATCH /v1/users/me", {"display_name": "Late"}, by=by, headers={"If-Match": tag})
    for condition in ("*", "W/" + tag, "2", '"1", "2"', '"99999999999999999999"'):
        await on.ask("PATCH /v1/users/me", {"display_name": "A"}, by=by, headers={"If-Match": condition})
    for body in (
        {},
        {"display_name": ""},
        {"display_name": None},
        {"update_mask": "email"},
        {"email": "x@example.com"},
    ):
        await on.ask("PATCH /v1/users/me", body, by=by)
    await on.ask("GET /v1/organizations", by=by)


async def projects(on: Journey, by: str, other: str) -> None:
    made = [
        (await on.ask("POST /v1/projects", {"name": name, "labels": {"b": "2", "a": "1"}}, by=by)).json
        for name in ("Atlas", "Borealis", "Cygnus")
    ]
    await on.ask("POST /v1/projects", {"name": "Mine", "organization_id": made[0]["organization_id"]}, by=other)
    first = (await on.ask("GET /v1/projects?page_size=2", by=by)).json["next_page_token"]
    await on.ask(f"GET /v1/projects?page_size=2&page_token={first}", by=by)
    await on.ask(f"GET /v1/projects?page_token={first}", by=other)
    for query in ("page_token=x", "page_size=-1", "page_size=ten", "page_size=1&page_size=2", "colour=red", "a=%zz"):
        await on.ask(f"GET /v1/projects?{query}", by=by)
    path = f"/v1/projects/{made[0]['id']}"
    for token in (by, other, ""):
        await on.ask(f"GET {path}", by=token)
        await on.ask(f"PATCH {path}", {"name": "Other"}, by=token, headers={"If-Match": '"1"'})
    await on.ask(f"PATCH {path}", {"labels": {"tier": "gold"}, "description": "two\nlines"}, by=by)
    await on.ask(f"PATCH {path}", {"labels": {"UP": "x"}, "name": ""}, by=by)
    await on.ask(f"PATCH {path}", {"name": "Stale"}, by=by, headers={"If-Match": '"1"'})
    for action in ("archive", "archive", "unarchive", "unarchive", "destroy"):
        await on.ask(f"POST {path}:{action}", by=by)
        await on.ask(f"PATCH {path}", {"description": action}, by=by)
    await on.ask(f"POST {path}:archive", by=by, headers={"If-Match": '"1"'})
    await on.ask(f"POST {path}:archive", {"name": "x"}, by=by)
    for odd in ("prj_x", made[0]["organization_id"], "%00", "a%2Fb", "prj_" + "7" * 26):
        await on.ask(f"GET /v1/projects/{odd}", by=by)


async def repeated(on: Journey, by: str) -> None:
    once = {"Idempotency-Key": "once"}
    for name in ("Once", "Once", "Twice"):
        await on.ask("POST /v1/projects", {"name": name}, by=by, headers=once)
    for _ in range(2):  # a refusal is kept as well, if it came from the service
        await on.ask("POST /v1/projects", {"name": ""}, by=by, headers={"Idempotency-Key": "refused"})
    await on.ask("POST /v1/projects", {"name": "x"}, by=by, headers={"Idempotency-Key": "two words"})
    await on.ask("POST /v1/projects", {"name": "x"}, by=by, headers={"Idempotency-Key": "k" * 256})
    await on.ask("GET /v1/projects", by=by)


async def bad_input(on: Journey, by: str) -> None:
    for raw in (
        b"",
        b"{",
        b"[]",
        b"null",
        b"\xff",
        b'{"name":"a"}x',
        b'{"name":"a","name":"b"}',
        b'{"name":NaN}',
        b'{"name":"\\u0000"}',
        b'{"name":"\\ud800"}',
        b"[" * 100,
        b'{"labels":' * 70 + b"1" + b"}" * 70,
        b'{"name":"' + b"x" * 65_536 + b'"}',
    ):
        await on.ask("POST /v1/projects", raw=raw, by=by)
    for kind in ("text/plain", "application/json; charset=latin-1", ""):
        await on.ask("POST /v1/projects", raw=b"{}", by=by, headers={"Content-Type": kind})
    await on.ask("POST /v1/projects", raw=b"{}", by=by, headers={"Content-Encoding": "gzip"})
    await on.ask("GET /v1/users/me", by=by, headers={"X-Request-Timeout": "soon"})
    await on.ask("GET /v1/nothing")
    await on.ask("PUT /v1/projects", {}, by=by)
    for scheme in ("Bearer", "Bearer ", "Basic YTpi", f"Bearer {by[:-4]}AAAA", "Bearer a.b.c", f"bearer {by}"):
        await on.ask("GET /v1/users/me", headers={"Authorization": scheme})


async def sessions(on: Journey) -> None:
    tokens = await log_in(on, ANN)
    kept = await log_in(on, ANN)
    await on.ask("GET /v1/sessions", by=kept["access_token"])
    lost = (await on.ask("POST /v1/sessions:refresh", {"refresh_token": tokens["refresh_token"]})).json
    again = (await on.ask("POST /v1/sessions:refresh", {"refresh_token": tokens["refresh_token"]})).json
    assert again["refresh_token"] == lost["refresh_token"]
    on.platform.clock.advance(timedelta(seconds=11))
    await on.ask("POST /v1/sessions:refresh", {"refresh_token": tokens["refresh_token"]})  # reused: the session ends
    await on.ask("POST /v1/sessions:refresh", {"refresh_token": again["refresh_token"]})
    await on.rejected(again["access_token"])
    await on.ask("GET /v1/users/me", by=again["access_token"])
    ended = await log_in(on, ANN)
    for _ in range(2):
        await on.ask(f"DELETE /v1/sessions/{ended['session_id']}", by=kept["access_token"])
    await on.rejected(ended["access_token"])
    await on.ask("GET /v1/sessions", by=ended["access_token"])
    await on.ask("GET /v1/sessions?page_size=1", by=kept["access_token"])
    bobs = await log_in(on, BOB)
    await on.ask(f"DELETE /v1/sessions/{bobs['session_id']}", by=kept["access_token"])
    on.platform.clock.advance(timedelta(minutes=11))
    await on.ask("GET /v1/users/me", by=kept["access_token"])  # expired
    fresh = (await on.ask("POST /v1/sessions:refresh", {"refresh_token": kept["refresh_token"]})).json
    await on.ask("GET /v1/users/me", by=fresh["access_token"])
    on.platform.clock.advance(timedelta(days=31))
    await on.ask("POST /v1/sessions:refresh", {"refresh_token": fresh["refresh_token"]})


async def transcript(platform: Platform) -> str:
    """The journey on a fresh platform, and what it left in the outboxes; canonical."""
    on = Journey(platform)
    await sign_up(on)
    await log_in(on, ANN, "another correct horse")
    await log_in(on, BOB)
    await log_in(on, "not an address")
    ann = (await log_in(on, ANN))["access_token"]
    await on.ask("POST /v1/users", {"email": BOB, "password": PASSWORD, "display_name": "Bob"})
    await on.token_of_mail(BOB, 1)
    bob = (await log_in(on, BOB))["access_token"]
    await profile(on, ann)
    await projects(on, ann, bob)
    await repeated(on, ann)
    await bad_input(on, ann)
    await sessions(on)
    published = Published(load("acme.contracts"))
    for plugin in PLUGINS:
        on.lines.append(f"outbox of {plugin.name}")
        async with opened(platform.database(plugin.name)) as database:
            on.lines += await published.read(database)
    assert sorted(KINDS - on.statuses) == [], "the journey misses kinds of answers"
    return canonical("\n".join(on.lines))


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def reference(postgres: Server) -> str:
    """What the placement "local" says."""
    async with Platform.start(PLUGINS, placement="local", settings=SETTINGS, server=postgres) as platform:
        return await transcript(platform)


@pytest.mark.every_placement
async def test_every_placement_answers_and_publishes_the_same(
    reference: str, placement: str, platform: Platform
) -> None:
    told = difference(reference, await transcript(platform), ["local", placement])
    if told:
        pytest.fail(f"the placement {placement} is not equal to local:\n{told}", pytrace=False)
