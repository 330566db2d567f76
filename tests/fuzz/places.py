"""A person, and one of each thing that ids in requests may name. Everything is made when it is asked for."""

from __future__ import annotations

import contextlib
import http.client
import json
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

from acme.drivers.mailbox import mails
from acme.testing.people import PASSWORD

FRESH: Final = 300.0
"""Seconds for which a token is used: methods want log-ins of the last ten minutes."""
KNOWN: Final = 1.0
"""Seconds within which every gateway knows of a membership."""
WAIT: Final = 10.0
"""Seconds for a mail to arrive."""


class Api:
    """One connection to the platform."""

    def __init__(self, url: str) -> None:
        self._connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=30)

    def send(self, verb: str, path: str, body: object = None, token: str = "") -> tuple[int, Any]:
        """Status and JSON of the reply."""
        headers = {"Content-Type": "application/json", "X-Forwarded-For": anywhere()}
        headers |= {"Authorization": f"Bearer {token}"} if token else {}
        with contextlib.suppress(ConnectionError):  # idle for too long: head and body go apart, and either may find out
            return self._once(verb, path, body, headers)
        return self._once(verb, path, body, headers)

    def _once(self, verb: str, path: str, body: object, headers: dict[str, str]) -> tuple[int, Any]:
        try:
            self._connection.request(verb, path, None if body is None else json.dumps(body), headers)
            reply = self._connection.getresponse()
            content = reply.read()
        except BaseException:
            self._connection.close()  # the next request gets another one: this would refuse it
            raise
        return reply.status, json.loads(content) if content else None

    def made(self, verb: str, path: str, body: object = None, token: str = "") -> Any:
        """The JSON of a reply that says that it went well. What was given a moment ago may take one to be known."""
        until = time.monotonic() + KNOWN
        while (reply := self.send(verb, path, body, token))[0] == 404 and time.monotonic() < until:
            time.sleep(0.02)
        status, content = reply
        if status >= 300:
            raise AssertionError(f"{verb} {path}: {status} {content}")
        return content


@dataclass
class Place:
    """Somebody with an organisation, and what is in it."""

    api: Api
    mailbox: Path
    email: str = field(default_factory=lambda: f"fuzz.{secrets.token_hex(8)}@example.com")
    token: str = ""
    until: float = 0.0
    """When the token has to be replaced (`time.monotonic`)."""
    ids: dict[str, str] = field(default_factory=dict)
    """By prefix; what is gone is not in it."""

    def log_in(self) -> str:
        """An access token that works and is fresh."""
        if time.monotonic() < self.until:
            return self.token
        self.token = self._session() or self._account()
        self.until = time.monotonic() + FRESH
        return self.token

    def doubt(self) -> None:
        """The token may not work any more."""
        if self.token and self.api.send("GET", "/v1/users/me", token=self.token)[0] != 200:
            self.until = 0.0

    def _session(self) -> str:
        status, tokens = self.api.send("POST", "/v1/sessions", {"email": self.email, "password": PASSWORD})
        return tokens["access_token"] if status == 201 else ""

    def _account(self) -> str:
        """Somebody new, in the place of one who cannot log in any more."""
        self.email = f"fuzz.{secrets.token_hex(8)}@example.com"
        self.ids.clear()
        sign_up(self.api, self.mailbox, self.email)
        return self._session()

    def id(self, prefix: str) -> str:
        """A thing of this kind that exists; "" where there is no such kind."""
        if prefix not in self.ids and (maker := getattr(self, f"_make_{prefix}", None)) is not None:
            self.ids[prefix] = self._made(maker)
        return self.ids.get(prefix, "")

    def _made(self, maker: Callable[[], str]) -> str:
        """What a maker makes; in another organisation, where a request has taken away what it builds on."""
        try:
            return maker()
        except AssertionError:
            self.ids.clear()
            return maker()

    def forget(self, identifier: str) -> None:
        """It is gone, or may be."""
        prefix = identifier.partition("_")[0]
        if self.ids.get(prefix) == identifier:
            del self.ids[prefix]

    def _post(self, path: str, body: object) -> Any:
        return self.api.made("POST", path, body, self.token)

    def _make_org(self) -> str:
        return str(self._post("/v1/organizations", {"name": "Fuzz"})["id"])

    def _make_prj(self) -> str:
        return str(self._post("/v1/projects", {"name": "Fuzz", "organization_id": self.id("org")})["id"])

    def _make_tem(self) -> str:
        team = self._post(f"/v1/organizations/{self.id('org')}/teams", {"name": "Fuzz"})["id"]
        self._post(f"/v1/organizations/{self.id('org')}/teams/{team}/members", {"user_id": self.id("usr")})
        return str(team)

    def _make_rol(self) -> str:
        return str(self._post(f"/v1/organizations/{self.id('org')}/roles", {"name": "Fuzz"})["id"])

    def _make_sva(self) -> str:
        body = {"name": "Fuzz", "role": "member"}
        return str(self._post(f"/v1/organizations/{self.id('org')}/serviceAccounts", body)["id"])

    def _make_inv(self) -> str:
        body = {"email": f"fuzz.{secrets.token_hex(8)}@example.com", "role": "member"}
        return str(self._post(f"/v1/organizations/{self.id('org')}/invitations", body)["id"])

    def _make_pat(self) -> str:
        body = {"name": "Fuzz", "scopes": ["projects.read"], "expires_in_days": 1}
        return str(self._post("/v1/tokens", body)["token"]["id"])

    def program_token(self) -> str:
        """A token of the service account."""
        return self._made(self._make_program_token)

    def _make_program_token(self) -> str:
        body = {"name": "Fuzz", "scopes": ["projects.read"], "expires_in_days": 1}
        path = f"/v1/organizations/{self.id('org')}/serviceAccounts/{self.id('sva')}/tokens"
        return str(self._post(path, body)["token"]["id"])

    def _make_ses(self) -> str:
        return str(self.api.made("POST", "/v1/sessions", {"email": self.email, "password": PASSWORD})["session_id"])

    def _make_usr(self) -> str:
        """Another member of the organisation."""
        other = Place(self.api, self.mailbox)
        sign_up(self.api, self.mailbox, other.email)
        token = other._session()
        body = {"email": other.email, "role": "member"}
        self._post(f"/v1/organizations/{self.id('org')}/invitations", body)
        invited = mailed(self.mailbox, other.email, 2)
        self.api.made("POST", "/v1/invitations:accept", {"token": invited}, token)
        return str(self.api.made("GET", "/v1/users/me", token=token)["id"])


def sign_up(api: Api, mailbox: Path, email: str) -> None:
    """An account whose address is proved."""
    api.made("POST", "/v1/users", {"email": email, "password": PASSWORD, "display_name": "Fuzz"})
    api.made("POST", "/v1/users:verifyEmail", {"token": mailed(mailbox, email, 1)})


def mailed(mailbox: Path, email: str, number: int) -> str:
    """The token in the newest mail to an address, once there are so many."""
    until = time.monotonic() + WAIT
    while len(found := [mail for mail in mails(mailbox) if mail.to == email]) < number:
        if time.monotonic() > until:
            raise AssertionError(f"{len(found)} mails to {email}, expected {number}")
        time.sleep(0.01)
    return str(parse_qs(urlsplit(found[0].links[0]).query)["token"][0])


def anywhere() -> str:
    """An address: the platform believes this machine about whom it speaks for."""
    return f"10.{secrets.randbelow(256)}.{secrets.randbelow(256)}.{secrets.randbelow(256)}"
