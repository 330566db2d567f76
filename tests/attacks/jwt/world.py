"""A gateway that believes two issuers, the platform's own and a foreign one, and whoever forges their tokens.

Each case is wrong in one way only: whatever can be right beside it is, the signature by the issuer's real key included. So a
case that is refused is refused for what it is about.
"""

from __future__ import annotations

import asyncio
import base64
import json
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import msgspec
from joserfc.jwk import ECKey
from joserfc.jws import JWSRegistry

from acme.tokens import TokenSettings
from tests.issuer import Issuer, Page, issuing
from tests.unit.acme.gateway.rig import Answer, Connection, Rig, running

PATH = "/v1/projects"


def b64(content: bytes | str) -> str:
    """Base64url without padding."""
    raw = content.encode() if isinstance(content, str) else content
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def compact(value: Any) -> str:
    """JSON as issuers write it; text and bytes as they are."""
    return json.dumps(value) if not isinstance(value, str | bytes) else value  # type: ignore[return-value]  # bytes too


Signature = Callable[[bytes], bytes]


@dataclass(frozen=True)
class Side:
    """One of the two issuers, as an attacker sees it who has its key for one case."""

    name: str
    kid: str
    key: ECKey
    good: dict[str, Any]
    """Claims of a good token."""
    trap: str
    """URL of the attacker's, which nobody must ever ask."""

    def claims(self, **changed: Any) -> dict[str, Any]:
        """Good ones, but for what is changed; `...` leaves a claim out."""
        return {name: value for name, value in {**self.good, **changed}.items() if value is not ...}

    def header(self, **changed: Any) -> dict[str, Any]:
        """A good one, but for what is changed; `...` leaves a member out."""
        good = {"alg": "ES256", "typ": "at+jwt", "kid": self.kid}
        return {name: value for name, value in {**good, **changed}.items() if value is not ...}

    def sign(self, content: bytes, alg: str = "ES256", key: Any = None) -> bytes:
        """A signature of these bytes."""
        return JWSRegistry.algorithms[alg].sign(content, key or self.key)

    def token(self, header: Any = None, claims: Any = None, signature: Signature | None = None) -> str:
        """A token of header and claims (objects; text or bytes as they are), signed by the real key unless said how."""
        head = b64(compact(self.header() if header is None else header))
        body = b64(compact(self.claims() if claims is None else claims))
        return self.joined(head, body, signature)

    def joined(self, head: str, body: str, signature: Signature | None = None) -> str:
        """A token of encoded parts."""
        content = f"{head}.{body}"
        return f"{content}.{b64((signature or self.sign)(content.encode()))}"


@dataclass
class World:
    """The gateway, both issuers, and a server of the attacker's."""

    rig: Rig
    foreign: Issuer
    attacker: Issuer
    sides: Mapping[str, Side]

    async def refused(self, token: str, reasons: tuple[str, ...] = ("invalid_token",)) -> None:
        """Sends a token, checks that it is refused as RFC 6750 says and proves nothing, and that the connection goes on."""
        calls, asked = len(self.rig.projects.calls), len(self.attacker.asked)
        async with self.rig.connection() as connection:
            answer = await self.judged(connection, token)
            assert answer.status == 401, answer
            problem = answer.problem(401, answer.json["code"])
            assert problem["code"] in reasons, problem
            challenge = answer.headers["www-authenticate"]
            assert challenge.startswith('Bearer realm="acme", error="invalid_token"'), challenge
            assert token not in answer.body.decode() + challenge, "a token is a secret"
            assert "connection" not in answer.headers
            assert len(self.rig.projects.calls) == calls, "nobody was called"
            await self.goes_on(connection)
        assert self.rig.verifier.cached(token) is None
        assert len(self.attacker.asked) == asked, "nothing that a token names is fetched"

    async def judged(self, connection: Connection, token: str) -> Answer:
        """The answer to a token, once its issuer could be asked about its key: until then it is 503, and says when."""
        until = time.monotonic() + 10
        while True:
            connection.send(self.request(token))
            answer = await connection.answer()
            if answer.status != 503 or time.monotonic() > until:
                return answer
            assert answer.json["code"] == "tokens_unavailable"
            assert int(answer.headers["retry-after"]) >= 1
            await asyncio.sleep(0.02)

    async def goes_on(self, connection: Connection) -> None:
        """The same connection serves whoever has a good token."""
        for side in self.sides.values():
            connection.send(self.request(side.token()))
            assert (await connection.answer()).status == 200, f"a good token of {side.name} is believed"

    def request(self, token: str) -> bytes:
        """The bytes of a request; a token may hold any."""
        return self.rig.request("GET", PATH, bearer=token)


@asynccontextmanager
async def world() -> AsyncIterator[World]:
    """Runs one."""
    with issuing() as foreign, issuing() as attacker:
        tokens = msgspec.convert(
            {"issuers": {"foreign": foreign.settings(refetch=0.1, algorithms=["ES256", "RS256"])}}, TokenSettings
        )
        async with running(tokens=tokens) as rig:
            now = rig.authority.clock.time()
            key, own = foreign.private["k1"], rig.authority.private["k1"]
            assert isinstance(key, ECKey)
            attacker.pages["/keys"] = Page(attacker.pages["/keys"].body)
            sides = (
                Side("ours", "k1", own, rig.authority.claims(), attacker.url),
                Side("theirs", "k1", key, foreign.claims(now=now), attacker.url),
            )
            yield World(rig, foreign, attacker, {side.name: side for side in sides})
