"""The organisations, people and things that cells are about: rows in databases, made by hand, and real access tokens.

Every method has an organisation of its own, so that what one method changes decides nothing for another. In it everybody has
the role that the matrix says, and there is one of each thing: a project, an archived one, a team, a custom role, a service
account with a token, an invitation, a member to be changed, and one who is in no team and no project yet; and an audit log.
"""

from __future__ import annotations

import asyncio
import hashlib
import secrets
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final

import asyncpg
from acme_users.addresses import Address

from acme.ids import new_id
from acme.testing import Platform
from acme.testing import User as Account
from acme.testing.people import PASSWORD
from tests.audits import fill
from tests.matrix.callers import CALLERS, OTHERS, OWN, Caller
from tests.matrix.methods import EVERYTHING, METHODS
from tests.matrix.rows import ROWS
from tests.offices import person
from tests.people import OTHER, new_email

PEOPLE: Final = tuple(dict.fromkeys(caller.person for caller in CALLERS if caller.person))
STALE: Final = timedelta(minutes=11)
"""After which a log-in is not fresh any more."""

Targets = Mapping[str, str]
"""Ids by prefix, and by the names in `rows.py`."""


@dataclass
class Room:
    """One method's organisation."""

    permission: str
    direct: str
    targets: Targets
    program: str
    """Its service account, whose token is `token`."""
    token: str


@dataclass
class World:
    """Everything."""

    platform: Platform
    users: asyncpg.Connection
    projects: asyncpg.Connection
    audit: asyncpg.Connection
    people: dict[str, Account] = field(default_factory=dict)
    tokens: dict[str, str] = field(default_factory=dict)
    """Access token by caller; a service account's are in the rooms."""
    known: str = ""
    """The address of somebody else who can log in."""
    passwords: dict[str, str] = field(default_factory=dict)
    rooms: dict[str, Room] = field(default_factory=dict)
    outside: Targets = field(default_factory=dict)
    """An organisation that none of the callers belongs to."""

    @classmethod
    @asynccontextmanager
    async def opened(cls, platform: Platform) -> AsyncIterator[World]:
        users = await asyncpg.connect(platform.database("users"))
        projects = await asyncpg.connect(platform.database("projects"))
        audit = await asyncpg.connect(platform.database("audit"))
        try:
            world = cls(platform, users, projects, audit)
            await world._log_in()
            await world._furnish()
            yield world
        finally:
            await users.close()
            await projects.close()
            await audit.close()

    # ---- people -------------------------------------------------------------------------------------------------

    async def _log_in(self) -> None:
        owner = await self.platform.sign_up()
        self.platform.clock.advance(STALE)
        anybody = self.platform.client()
        refreshed = (await anybody.post("/v1/sessions:refresh", {"refresh_token": owner.refresh_token})).expect(200)
        *others, other = await asyncio.gather(*(self.platform.sign_up() for _ in PEOPLE))
        self.known = other.email
        self.people = dict(zip(PEOPLE, (await self.platform.log_in(owner.email), *others), strict=True))
        self.passwords = dict.fromkeys(PEOPLE, PASSWORD)
        for caller in CALLERS:
            if caller.proves == "fresh":
                self.tokens[caller.name] = self.people[caller.person].access_token
            elif caller.proves == "stale":
                self.tokens[caller.name] = refreshed["access_token"]
            elif caller.proves == "never" and not caller.program:
                scope = "*" if caller.scopes == EVERYTHING else "read"
                _, self.tokens[caller.name] = await self.access_token(self.people[caller.person].id, scope)

    async def access_token(self, subject: str, scope: str = "*", prefix: str = "acp_") -> tuple[str, str]:
        """Its id and the token."""
        made, secret, now = self._id("pat"), prefix + secrets.token_urlsafe(32), self._now()
        digest = hashlib.sha256(secret.encode()).digest()
        await self.users.execute(
            "INSERT INTO access_tokens (id, subject, digest, name, scopes, created_at, expires_at)"
            " VALUES ($1, $2, $3, 'Build', $4, $5, $6)",
            *(made, subject, digest, [scope], now, now + timedelta(days=1)),
        )
        return made, secret

    # ---- organisations ------------------------------------------------------------------------------------------

    async def _furnish(self) -> None:
        # The job that takes out expired members would take the point out of one caller.
        await self.users.execute(
            "INSERT INTO acme.leases (name, holder, until) VALUES ('memberships', 'the matrix', $1)"
            " ON CONFLICT (name) DO UPDATE SET holder = excluded.holder, until = excluded.until",
            self._now() + timedelta(days=1),
        )
        self.outside = await self._targets(await self._organization(), "", {})
        for path, row in ROWS.items():
            permission = METHODS[path].permission
            organization = await self._organization()
            custom = {
                OWN: await self._role(organization, [permission] if permission else []),
                OTHERS: await self._role(organization, sorted(EVERYTHING - {permission})),
            }
            for caller in {caller.person: caller for caller in CALLERS if caller.person}.values():
                role = custom.get(caller.role, caller.role)
                if caller.person == "expired":
                    await self._member(organization, self.people["expired"].id, "member", ended=True)
                elif role:
                    await self._member(organization, self.people[caller.person].id, role)
            program = await self._program(organization, "admin")
            _, token = await self.access_token(program, prefix="acs_")
            direct = self._direct(row.direct, program)
            self.rooms[path] = Room(
                permission, row.direct, await self._targets(organization, row.direct, direct), program, token
            )

    def _direct(self, everybody: str, program: str) -> dict[str, str]:
        """Who has which role on a project itself."""
        found = {
            self.people[caller.person].id: caller.direct or everybody
            for caller in CALLERS
            if caller.role and caller.person
        }
        found |= {self.people["expired"].id: "member", program: everybody}
        return {subject: role for subject, role in found.items() if role}

    async def fresh(self, path: str) -> dict[str, str]:
        """The things of a room, made anew."""
        room = self.rooms[path]
        direct = self._direct(room.direct, room.program)
        return dict(await self._targets(room.targets["org"], room.direct, direct))

    async def _organization(self) -> str:
        made, now = self._id("org"), self._now()
        await self.users.execute(
            "INSERT INTO organizations (id, name, personal, region, created_at, default_role)"
            " VALUES ($1, 'Acme', false, 'local', $2, 'none')",
            *(made, now),
        )
        await fill(self.audit, made, self.platform.clock, region="local")
        return made

    async def _targets(self, organization: str, everybody: str, direct: Mapping[str, str]) -> Targets:
        """One of each thing, all of them a keeper's who never calls."""
        now = self._now()
        keeper, spare, new = [(await person(self.platform, self.users)).id for _ in range(3)]
        await self._member(organization, keeper, "owner")
        await self._member(organization, spare, "guest")
        await self._member(organization, new, "guest")
        team, invitation, email = self._id("tem"), self._id("inv"), new_email()
        await self.users.execute(
            "INSERT INTO teams (id, organization_id, name, description, created_at, updated_at)"
            " VALUES ($1, $2, 'Compilers', '', $3, $3)",
            *(team, organization, now),
        )
        await self.users.execute("INSERT INTO team_members VALUES ($1, $2, $3, $4)", team, spare, organization, now)
        token = await self._invitation(organization, keeper, invitation, email)
        program = await self._program(organization, "guest")
        session = self._id("ses")
        await self._session(session, keeper)
        return {
            "org": organization,
            "prj": await self._project(organization, keeper, {**direct, spare: "viewer"}),
            "archived": await self._project(organization, keeper, {**direct, spare: "viewer"}, archived=True),
            "tem": team,
            "rol": await self._role(organization, []),
            "sva": program,
            "inv": invitation,
            "usr": spare,
            "new": new,
            "keeper": keeper,
            "pat": (await self.access_token(program, prefix="acs_"))[0],
            "own pat": (await self.access_token(keeper))[0],
            "ses": session,
            "email": new_email(),
            "known": self.known,
            "token": token,
        }

    async def _member(self, organization: str, user: str, role: str, *, ended: bool = False) -> None:
        now = self._now()
        await self.users.execute(
            "INSERT INTO memberships (user_id, organization_id, role, joined_at, expires_at) VALUES ($1, $2, $3, $4, $5)",
            *(user, organization, role, now, now - timedelta(seconds=1) if ended else None),
        )

    async def _role(self, organization: str, permissions: list[str]) -> str:
        made = self._id("rol")
        await self.users.execute(
            "INSERT INTO roles (id, organization_id, name, permissions, created_at, updated_at)"
            " VALUES ($1, $2, 'Custom', $3, $4, $4)",
            *(made, organization, permissions, self._now()),
        )
        return made

    async def _program(self, organization: str, role: str) -> str:
        made = self._id("sva")
        await self.users.execute(
            "INSERT INTO service_accounts (id, organization_id, name, role, created_at) VALUES ($1, $2, 'Bot', $3, $4)",
            *(made, organization, role, self._now()),
        )
        return made

    async def _invitation(self, organization: str, inviter: str, made: str, email: str) -> str:
        """Its token."""
        token, now = "aci_" + secrets.token_urlsafe(32), self._now()
        await self.users.execute(
            "INSERT INTO invitations (id, organization_id, email, email_key, role, inviter_id, digest, created_at,"
            " expires_at) VALUES ($1, $2, $3, $4, 'guest', $5, $6, $7, $8)",
            *(made, organization, email, Address.parse(email).key, inviter),
            *(hashlib.sha256(token.encode()).digest(), now),
            now + timedelta(days=1),
        )
        return token

    async def _project(
        self, organization: str, owner: str, direct: Mapping[str, str], *, archived: bool = False
    ) -> str:
        made, now = self._id("prj"), self._now()
        await self.projects.execute(
            "INSERT INTO projects (id, organization_id, owner_id, name, description, labels, archived, region,"
            " created_at, updated_at, version) VALUES ($1, $2, $3, 'Apollo', '', '{}', $4, 'local', $5, $5, 1)",
            *(made, organization, owner, archived, now),
        )
        await self.projects.executemany(
            "INSERT INTO project_members VALUES ($1, $2, $3, $4, $5, 1)",
            [(made, subject, organization, role, now) for subject, role in {owner: "owner", **direct}.items()],
        )
        return made

    async def _session(self, made: str, user: str) -> None:
        now = self._now()
        await self.users.execute(
            "INSERT INTO sessions (id, user_id, secret, generation, rotated_at, user_agent, address, created_at, expires_at)"
            " VALUES ($1, $2, $3, 1, $4, '', '', $4, $5)",
            *(made, user, b"", now, now + timedelta(days=1)),
        )

    # ---- before a request that will be granted ------------------------------------------------------------------

    async def prepare(self, what: str, caller: Caller, targets: dict[str, str], body: dict[str, Any] | None) -> None:
        """Makes the state that a row asks for. Changes `targets` and `body` where it has to."""
        user = self.people[caller.person].id if caller.person else ""
        organization, keeper, later = targets["org"], targets["keeper"], self._now() + timedelta(hours=1)
        match what:
            case "deleted":
                await self.projects.execute(
                    "UPDATE projects SET deleted_at = $2, purge_at = $3 WHERE id = $1",
                    *(targets["prj"], self._now(), self._now() + timedelta(days=30)),
                )
            case "project offered" if user:
                await self.projects.execute(
                    "INSERT INTO project_transfers VALUES ($1, $2, $3, $3, $4, $5)",
                    *(targets["prj"], organization, keeper, user, later),
                )
            case "organization offered" if user:
                await self.users.execute(
                    "INSERT INTO organization_transfers VALUES ($1, $2, $3, $4) ON CONFLICT (organization_id)"
                    " DO UPDATE SET from_user_id = $2, to_user_id = $3",
                    *(organization, keeper, user, later),
                )
            case "invited":
                email = self.people[caller.person].email
                targets["token"] = await self._invitation(organization, keeper, self._id("inv"), email)
            case "own token":
                targets["own pat"], _ = await self.access_token(user)
            case "own session":
                await self._session(made := self._id("ses"), user)
                targets["ses"] = made
            case "password" if body is not None:
                current = self.passwords[caller.person]
                if "new_password" in body:
                    new = OTHER if current == PASSWORD else PASSWORD
                    body.update(current_password=current, new_password=new)
                    self.passwords[caller.person] = new
                else:
                    body["password"] = current

    def _id(self, prefix: str) -> str:
        return new_id(prefix, self.platform.clock)

    def _now(self) -> datetime:
        return self.platform.clock.now()
