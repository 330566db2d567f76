"""Two people share a project, over HTTP, each at a gateway of its own: processes that share nothing but a Redis."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

import pytest

from tests.redis_server import RedisServer
from tests.system.running import PASSWORD, WITHOUT_AUDIT, Person, Platform, Reply, call, known_within, wait_for

AT_ONCE: Final = 1.0
"""Seconds within which a change of membership counts everywhere."""


@dataclass
class Side:
    """Somebody at a gateway."""

    platform: Platform
    api: str
    email: str
    person: Person
    id: str = ""

    def send(self, verb: str, path: str, body: object = None) -> Reply:
        return call(self.api, verb, path, body, token=self.person.token)

    def status(self, path: str) -> int:
        """How a GET is answered."""
        return self.send("GET", path).status

    def did(self, verb: str, path: str, body: object = None) -> Any:
        """The JSON of a reply that says that it went well."""
        reply = self.send(verb, path, body)
        assert reply.status < 300, (verb, path, reply.status, reply.body)
        return reply.json if reply.body else None


def mailed(platform: Platform, email: str, number: int) -> str:
    """The token in the newest mail to an address, once there are so many."""

    wait_for(f"{number} mails to {email}", lambda: len(platform.mailbox.list(email)) >= number)
    return platform.mailbox.list(email)[0].links[0].partition("token=")[2]


def join(platform: Platform, api: str, email: str) -> Side:
    """Signs somebody up, proves the address and logs in."""
    before = len(platform.mailbox.list(email))
    account = {"email": email, "password": PASSWORD, "display_name": email.split("@")[0].title()}
    assert call(api, "POST", "/v1/users", account).status == 202
    token = mailed(platform, email, before + 1)
    assert call(api, "POST", "/v1/users:verifyEmail", {"token": token}).status == 200
    session = call(api, "POST", "/v1/sessions", {"email": email, "password": PASSWORD})
    side = Side(platform, api, email, Person(email, session.json))
    side.id = side.did("GET", "/v1/users/me")["id"]
    return side


@pytest.fixture
def town(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    folder = tmp_path_factory.mktemp("sharing")
    redis = RedisServer(folder / "redis")
    redis.start()
    environ = {"ACME_LIMITER__URL": redis.url(), "ACME_SPLIT__GATEWAYS": "2", **WITHOUT_AUDIT}
    one = Platform(folder / "platform", "--port", "0", "--split", environ=environ)
    try:
        yield one.start()
        assert one.stop() == 0
    finally:
        one.close()
        redis.kill()


@pytest.mark.drill
def test_a_project_is_shared_its_roles_change_at_once_and_it_changes_hands(
    town: Platform, measured: Callable[[str, object], None]
) -> None:
    here, there = [each["address"] for each in town.ready["processes"] if each["name"].startswith("gateway")]
    ada = join(town, here, "ada@example.com")
    organization = ada.did("POST", "/v1/organizations", {"name": "Engines", "default_role": "none"})["id"]
    project = ada.did("POST", "/v1/projects", {"name": "Analytical", "organization_id": organization})["id"]
    shared, belongs = f"/v1/projects/{project}", f"/v1/organizations/{organization}"

    # Invited before there is an account; whoever proves the address accepts.
    invited = ada.did("POST", f"{shared}/members", {"email": "bob@example.com", "role": "viewer"})
    assert invited["invited"]
    invitation = mailed(town, "bob@example.com", 1)
    bob = join(town, there, "bob@example.com")
    assert bob.send("GET", shared).status == 404
    assert bob.did("POST", "/v1/invitations:accept", {"token": invitation})["project_id"] == project
    wait_for("bob is in the project", lambda: bob.send("GET", shared).status == 200)
    assert bob.send("PATCH", shared, {"name": "Difference"}).status == 403
    assert [one["id"] for one in bob.did("GET", "/v1/projects")["projects"]] == [project]

    # A role on the project counts with the next request; one in the organisation within a second, at the other gateway.
    ada.did("PATCH", f"{shared}/members/{bob.id}", {"role": "member"})
    assert bob.did("PATCH", shared, {"name": "Difference"})["name"] == "Difference"
    for role, status in (("admin", 200), ("guest", 403)):
        ada.did("PATCH", f"{belongs}/members/{bob.id}", {"role": role})
        seconds = known_within(AT_ONCE, partial(bob.status, f"{belongs}/invitations"), status)
        measured(f"seconds until the other gateway knew the role {role}", round(seconds, 3))

    # The ownership is offered and accepted; who gave it away stays, as an admin.
    ada.did("POST", f"{shared}:transfer", {"user_id": bob.id})
    assert bob.did("POST", f"{shared}:acceptTransfer", {})["owner_id"] == bob.id
    members = ada.did("GET", f"{shared}/members")["members"]
    assert {one["subject_id"]: one["role"] for one in members} == {ada.id: "admin", bob.id: "owner"}

    # Who is taken out of the organisation has nothing left at once; the project goes to the organisation's owner.
    ada.did("DELETE", f"{belongs}/members/{bob.id}")
    known_within(AT_ONCE, partial(bob.status, shared), 404)
    assert bob.send("GET", belongs).status == 404
    assert bob.send("GET", "/v1/users/me").status == 200, "the token goes on"
    wait_for("the project is ada's", lambda: ada.did("GET", shared)["owner_id"] == ada.id)
