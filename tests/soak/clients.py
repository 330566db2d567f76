"""Who asks what: a mix of what clients do, good ones and others, at a steady rate."""

from __future__ import annotations

import asyncio
import random
import time
import uuid
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import urlsplit

import aiohttp

from acme.tasks import Tasks
from acme.telemetry import Metrics
from tests.system.running import PASSWORD

PROJECTS: Final = 50
"""That each person has, more or less."""


RENEWED: Final = 240.0
"""Seconds after which a person has another access token."""


@dataclass
class Person:
    """Somebody with a session, and projects."""

    email: str
    token: str
    refresh: str = ""
    """The token that gets the next one."""
    projects: list[str] = field(default_factory=list)


class Town:
    """Everybody, and what they were answered."""

    def __init__(
        self, api: str, session: aiohttp.ClientSession, people: list[Person], visitors: list[Person], seed: int
    ) -> None:
        """`visitors` only log in and out, each of them here and there at the same time."""
        self._api, self._session, self._people, self._visitors = api, session, people, visitors
        self._random = random.Random(seed)
        self.answers: Counter[str] = Counter()
        """By what was asked and the status; those that were not to be, with "!"."""
        self._mix: list[tuple[int, Callable[[Person], Awaitable[None]]]] = [
            (30, self.read),
            (15, self.list),
            (10, self.make),
            (9, self.delete),
            (8, self.change),
            (6, self.unknown),
            (6, self.wrong),
            (4, self.stranger),
            (4, self.health),
            (3, self.breaks_off),
            (3, self.goes),
            (2, self.logs_in),
        ]

    async def stay(self) -> None:
        """Nobody's access token, which is good for ten minutes, gets older than a few."""
        while True:
            for who in self._people:
                await asyncio.sleep(RENEWED / len(self._people))
                made = await self._ask("POST", "/v1/sessions:refresh", {200}, None, {"refresh_token": who.refresh})
                who.token, who.refresh = made["access_token"], made["refresh_token"]

    async def once(self) -> None:
        """One thing that somebody does."""
        weights, deeds = zip(*self._mix, strict=True)
        person = self._random.choice(self._people)
        try:
            await self._random.choices(deeds, weights)[0](person)
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            self.answers[f"! {type(error).__name__}"] += 1

    async def read(self, who: Person) -> None:
        if who.projects:
            await self._ask("GET", f"/v1/projects/{self._random.choice(who.projects)}", {200, 404}, who)

    async def list(self, who: Person) -> None:
        size = self._random.randint(1, 50)
        await self._ask("GET", f"/v1/projects?page_size={size}", {200}, who)

    async def make(self, who: Person) -> None:
        if len(who.projects) >= PROJECTS:
            return
        key = {"Idempotency-Key": uuid.uuid4().hex} if self._random.random() < 0.5 else {}
        labels = {f"label{number}": "x" * 20 for number in range(self._random.randint(0, 5))}
        body = {"name": f"Project {self._random.randint(1, 999)}", "labels": labels}
        made = await self._ask("POST", "/v1/projects", {201}, who, body, key)
        if "id" in made:
            who.projects.append(made["id"])

    async def delete(self, who: Person) -> None:
        if len(who.projects) > 1:
            await self._ask("DELETE", f"/v1/projects/{who.projects.pop(0)}", {200, 204, 404}, who)

    async def change(self, who: Person) -> None:
        if who.projects:
            path = f"/v1/projects/{self._random.choice(who.projects)}"
            await self._ask("PATCH", path, {200, 404}, who, {"description": "x" * self._random.randint(0, 500)})

    async def unknown(self, who: Person) -> None:
        await self._ask("GET", f"/v1/{uuid.uuid4().hex}", {404}, who)

    async def wrong(self, who: Person) -> None:
        await self._ask("POST", "/v1/projects", {422}, who, {"name": "", "colour": "red"})

    async def stranger(self, who: Person) -> None:
        nobody = Person("", f"e30.e30.{uuid.uuid4().hex}")
        await self._ask("GET", "/v1/projects", {401}, nobody)

    async def health(self, who: Person) -> None:
        await self._ask("GET", self._random.choice(["/healthz", "/readyz"]), {200}, who)

    async def logs_in(self, _: Person) -> None:
        """A visitor, who ends all other sessions of theirs."""
        who = self._random.choice(self._visitors)
        made = await self._ask("POST", "/v1/sessions", {201, 503}, None, {"email": who.email, "password": PASSWORD})
        if "session_id" not in made:
            return
        here = Person(who.email, made["access_token"])
        listed = await self._ask("GET", "/v1/sessions?page_size=50", {200, 401}, here)
        for each in listed.get("sessions", []):
            if each["id"] != made["session_id"]:
                await self._ask("DELETE", f"/v1/sessions/{each['id']}", {204, 401, 404}, here)

    async def breaks_off(self, who: Person) -> None:
        """A client that goes in the middle of its request, or before it has read the answer."""
        place = urlsplit(self._api)
        _, writer = await asyncio.open_connection(place.hostname, place.port)
        head = f"GET /v1/projects HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {who.token}\r\n\r\n".encode()
        writer.write(head[: self._random.choice([10, len(head) - 2, len(head)])])
        await writer.drain()
        writer.transport.abort()
        self.answers["breaks off"] += 1

    async def goes(self, who: Person) -> None:
        """A client with a connection of its own for one request."""
        await self._ask("GET", "/v1/users/me", {200}, who, headers={"Connection": "close"})

    async def _ask(
        self,
        verb: str,
        path: str,
        wanted: set[int],
        who: Person | None,
        body: object = None,
        headers: dict[str, str] | None = None,
    ) -> Any:
        sent = dict(headers or {})
        if who is not None:
            sent["Authorization"] = f"Bearer {who.token}"
        async with self._session.request(verb, self._api + path, json=body, headers=sent) as reply:
            answer = await reply.json() if "json" in reply.headers.get("Content-Type", "") else {}
            mark = "" if reply.status in wanted else "! "
            name = path.partition("?")[0].split("/")[2:3] or [path]
            self.answers[f"{mark}{verb} {name[0] if len(name[0]) < 32 else '…'} {reply.status}"] += 1
            return answer


async def steady(town: Town, rate: float, seconds: float) -> None:
    """Lets people do so many things a second, whatever comes of the others; then waits for those under way."""
    start, count = time.monotonic(), 0
    async with Tasks("clients", Metrics()) as tasks:
        stay = tasks.spawn("stay", town.stay())
        while (now := time.monotonic() - start) < seconds:
            while count / rate <= now:
                count += 1
                tasks.spawn("once", town.once())
            await asyncio.sleep(1 / rate)
        stay.cancel()
        await tasks.settle()
