"""What every contract of ours has in common, beyond what the contract compiler demands of strangers."""

from __future__ import annotations

import re

import pytest

from acme.contract import Kind, Message, Method, load

METHODS = [
    method
    for service in load("acme.contracts").services.values()
    if service.name.startswith("acme.")
    for method in service.methods
    if method.routes
]
"""Those with a route."""


def headers(message: Message) -> dict[str, str]:
    """Field → header."""
    return {field.name: field.header for field in message.fields if field.header}


def verbs(method: Method) -> set[str]:
    return {route.verb for route in method.routes}


READING = [method for method in METHODS if verbs(method) == {"GET"} and not method.name.startswith("List")]
"""Those that give one resource."""


@pytest.mark.parametrize("method", METHODS, ids=lambda method: str(method.path))
def test_a_reply_with_a_version_has_it_as_its_etag(method: Method) -> None:
    for field in method.reply.fields:
        assert (field.name == "version") == (field.header == "ETag")
        assert field.header != "ETag" or field.kind is Kind.INT


@pytest.mark.parametrize("method", READING, ids=lambda method: str(method.path))
def test_every_resource_that_can_be_read_has_an_etag(method: Method) -> None:
    assert "ETag" in headers(method.reply).values()


@pytest.mark.parametrize(
    "method", [method for method in METHODS if verbs(method) & {"PATCH", "PUT"}], ids=lambda method: str(method.path)
)
def test_every_change_of_a_resource_can_be_meant_for_one_version(method: Method) -> None:
    assert headers(method.request).get("if_match") == "If-Match"


def test_settings_of_a_project_are_changed_for_one_version_only() -> None:
    demanding = [method.name for method in METHODS if any(field.condition for field in method.request.fields)]
    assert demanding == ["UpdateProjectSettings"]


@pytest.mark.parametrize(
    "method", [method for method in METHODS if method.name.startswith("List")], ids=lambda method: str(method.path)
)
def test_every_list_comes_in_pages(method: Method) -> None:
    """AIP-158: a list without pages cannot get them later without a break."""
    asked = {field.name: field.kind for field in method.request.fields}
    assert (asked.get("page_size"), asked.get("page_token")) == (Kind.INT, Kind.STRING)
    told = {field.name: field for field in method.reply.fields}
    assert told["next_page_token"].kind is Kind.STRING
    assert [field.kind for field in method.reply.fields if field.repeated] == [Kind.MESSAGE]


def test_only_lists_come_in_pages() -> None:
    paged = [method.name for method in METHODS if any(field.name == "page_token" for field in method.request.fields)]
    assert [name for name in paged if not name.startswith("List")] == []
    assert len(paged) > 10


PROMISED = """
GET /v1/organizations; POST /v1/organizations; GET /v1/organizations/{}; PATCH /v1/organizations/{}
GET /v1/organizations/{}/members; PATCH /v1/organizations/{}/members/{}; DELETE /v1/organizations/{}/members/{}
GET /v1/organizations/{}/invitations; POST /v1/organizations/{}/invitations; POST /v1/invitations:accept
POST /v1/organizations/{}:transfer; GET /v1/organizations/{}/teams; POST /v1/organizations/{}/teams
GET /v1/organizations/{}/roles; POST /v1/organizations/{}/roles
POST /v1/users/me:changePassword; POST /v1/users/me:changeEmail; POST /v1/users:requestPasswordReset
POST /v1/users:resetPassword; POST /v1/sessions:revokeAll; GET /v1/tokens; POST /v1/tokens; DELETE /v1/tokens/{}
GET /v1/projects; DELETE /v1/projects/{}; POST /v1/projects/{}:undelete; POST /v1/projects/{}:transfer
GET /v1/projects/{}/members; POST /v1/projects/{}/members; PATCH /v1/projects/{}/members/{}
DELETE /v1/projects/{}/members/{}; GET /v1/projects/{}/settings; PATCH /v1/projects/{}/settings; POST /v1/projects:batchGet
"""
"""Routes of people and projects that no change may take away, whatever their variables are called."""


def test_every_promised_route_is_in_a_contract_and_so_in_the_document() -> None:
    routes = [route for method in METHODS for route in method.routes]
    found = {f"{route.verb} {re.sub('{[^}]*}', '{}', route.template)}" for route in routes}
    promised = {route.strip() for route in PROMISED.replace("\n", ";").split(";") if route.strip()}
    assert promised - found == set()
    assert len(promised) == 34


def test_there_are_methods_to_look_at() -> None:
    assert len(METHODS) > 50
    assert len(READING) >= 5


EVENTS = [message for message in load("acme.contracts").messages.values() if message.event is not None]


@pytest.mark.parametrize("message", EVENTS, ids=lambda message: str(message.name))
def test_every_event_says_which_organisation_it_belongs_to_or_is_of_a_person(message: Message) -> None:
    assert message.event is not None
    of_a_person = message.event.topic == "acme.users.events" and message.event.key in ("user_id", "subject")
    assert bool(message.event.organization) != of_a_person
