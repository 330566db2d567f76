"""Memberships against a model of them, over random histories; and the job that takes out those that have expired."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, Final, Literal, TypeAlias

import pytest
from acme_projects import plugin as projects_plugin
from acme_users import plugin as users_plugin
from acme_users.members import end_expired
from hypothesis import example, given, settings
from hypothesis import strategies as st

from acme import Job
from acme.contract import ROLES
from acme.contracts.google.protobuf import FieldMask
from acme.contracts.users.v1 import (
    LeaveOrganizationRequest,
    OrganizationMemberRemoved,
    RemoveMemberRequest,
    UpdateMemberRequest,
)
from acme.errors import Refused
from acme.plugin import Plugin
from acme.testing import Platform
from acme.testing import User as Caller
from tests.offices import Office, invited, looking
from tests.waiting import until

HISTORIES: Final = 100
PEOPLE: Final = 4
"""The first one founds the organisation, the last one stays outside until somebody is let in."""
HOUR: Final = timedelta(hours=1)

Step: TypeAlias = tuple[Literal["role", "end", "remove", "leave", "invite", "wait"], int, int, str, int]
"""What, who, whom, a role, and hours (0: no end)."""

steps: Final = st.tuples(
    st.sampled_from(("role", "role", "end", "remove", "leave", "invite", "wait")),
    st.integers(0, PEOPLE - 1),
    st.integers(0, PEOPLE - 1),
    st.sampled_from(ROLES),
    st.integers(0, 3),
)


@pytest.fixture(scope="module")
def plugins() -> list[Plugin]:
    """The job runs all the time, while histories run too: what it does makes no difference to anybody."""
    return [replace(users_plugin, jobs=(Job("memberships", every=0.05, run=end_expired),)), projects_plugin]


@pytest.fixture(scope="module")
def placement() -> Literal["local"]:
    return "local"


@pytest.fixture
async def office(platform: Platform) -> AsyncIterator[Office]:
    async with looking(platform, "users") as users, Office.opened(platform, users) as office:
        yield office


@dataclass
class Model:
    """Who belongs to an organisation, by the rules as README has them."""

    now: datetime
    members: dict[str, tuple[str, datetime | None]] = field(default_factory=dict)

    def live(self) -> dict[str, str]:
        return {user: role for user, (role, end) in self.members.items() if end is None or end > self.now}

    def lasting(self) -> list[str]:
        return [user for user, (role, end) in self.members.items() if role == "owner" and end is None]

    def step(self, what: str, who: str, whom: str, role: str, end: datetime | None) -> str:
        """What comes of it: the code of a refusal, or "done"."""
        live = self.live()
        if who not in live:
            return "not_found"
        rank = ROLES.index(live[who])
        if what == "leave":
            return self._end(who)
        if rank < ROLES.index("admin"):
            return "permission_denied"
        if what == "invite":
            return self._invite(who, whom, role, end, rank)
        if whom not in live:
            return "not_found"
        if ROLES.index(live[whom]) > rank:
            return "permission_denied"
        if what == "remove":
            return self._end(whom)
        old_role, old_end = self.members[whom]
        if what == "role":
            if ROLES.index(role) > rank:
                return "permission_denied"
            changed = (role, old_end)
        else:
            prolongs = old_end is not None and (end is None or end > old_end)
            if who == whom and prolongs:
                return "permission_denied"
            changed = (old_role, end)
        if self.lasting() == [whom] and changed != ("owner", None):
            return "conflict"
        self.members[whom] = changed
        return "done"

    def _end(self, user: str) -> str:
        if self.lasting() == [user]:
            return "conflict"
        del self.members[user]
        return "done"

    def _invite(self, who: str, whom: str, role: str, end: datetime | None, rank: int) -> str:
        if ROLES.index(role) > rank:
            return "permission_denied"
        live = self.live()
        if who == whom:
            return "done"  # and nobody prolongs the own membership that way
        if whom not in live:
            self.members[whom] = (role, end)
        elif ROLES.index(live[whom]) <= ROLES.index(role):
            old = self.members[whom][1]
            self.members[whom] = (role, None if old is None or end is None else max(old, end))
        return "done"


async def act(office: Office, what: str, who: Caller, whom: Caller, role: str, end: datetime | None) -> str:
    """The same step, by the services."""
    stub = office.organizations(who)
    request = UpdateMemberRequest(organization_id=office.id, user_id=whom.id, role=role, expires_at=end)
    try:
        if what == "leave":
            await stub.leave_organization(LeaveOrganizationRequest(id=office.id))
        elif what == "remove":
            await stub.remove_member(RemoveMemberRequest(organization_id=office.id, user_id=whom.id))
        elif what == "invite":
            await invited(office, whom, role, by=who, until=end)
        else:
            request.update_mask = FieldMask(paths=["role" if what == "role" else "expires_at"])
            await stub.update_member(request)
    except Refused as refused:
        return refused.code.value
    return "done"


INVITES_ITSELF: Final[list[Step]] = [
    ("end", 0, 0, "guest", 1),
    ("invite", 0, 0, "owner", 0),
    ("role", 0, 1, "guest", 0),
]


@example(history=INVITES_ITSELF)
@settings(max_examples=HISTORIES)
@given(history=st.lists(steps, min_size=4, max_size=14))
async def test_every_history_ends_as_the_model_says_and_leaves_an_owner_for_good(
    platform: Platform, history: list[Step]
) -> None:
    async with looking(platform, "users") as users, Office.opened(platform, users) as office:
        people = [office.owner, *[await office.stranger() for _ in range(PEOPLE - 1)]]
        model = Model(platform.clock.now(), {office.owner.id: ("owner", None)})
        told: list[Any] = []
        for user, role in zip(people[1:3], ("owner", "admin"), strict=True):
            await office.admit(user, role)
            model.members[user.id] = (role, None)
        for what, who, whom, role, hours in history:
            if what == "wait":
                platform.clock.advance(HOUR)
            model.now = platform.clock.now()
            if what == "wait":
                continue
            # Half an hour off, so that no end falls on the seconds that the steps themselves take.
            end = model.now + hours * HOUR - HOUR / 2 if hours else None
            args = (what, people[who], people[whom], role, end)
            expected = model.step(what, people[who].id, people[whom].id, role, end)
            told.append((*args[:1], who, whom, role, hours, expected))
            assert await act(office, *args) == expected, told
            assert await office.members() == model.live(), told
            assert model.lasting(), told


async def test_the_job_takes_out_who_has_expired_and_nobody_else(platform: Platform, office: Office) -> None:
    end = platform.clock.now() + HOUR
    late, later = await office.member(expires_at=end), await office.member(expires_at=end + HOUR)

    async def left() -> int:
        count: int = await office.database.fetchval(
            "SELECT count(*) FROM memberships WHERE organization_id = $1", office.id
        )
        return count

    before = (await office.announced()).count(late.id)
    platform.clock.advance(HOUR)

    async def gone() -> bool:
        return await left() == 2

    await until(gone)
    assert await office.members() == {office.owner.id: "owner", later.id: "member"}
    [event] = await office.events()
    assert event == OrganizationMemberRemoved(
        organization_id=office.id, user_id=late.id, reason="expired", removed_at=event.removed_at
    )
    # Others belong to other organisations here, and to some of them until now: which of all comes last is chance.
    assert (await office.announced()).count(late.id) == before + 1
