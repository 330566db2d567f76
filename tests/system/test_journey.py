"""The way of a person through the platform, over REST, against real processes: one, and several (`--split`)."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from tests.system.running import PASSWORD, Platform, known_within, platform, wait_for


@pytest.fixture(scope="module", params=[("--port", "0"), ("--port", "0", "--split")], ids=["one process", "split"])
def running(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    with platform(tmp_path_factory.mktemp("platform"), *request.param) as one:
        yield one


def test_a_person_signs_up_works_and_is_out_within_a_second_of_leaving(
    running: Platform, measured: Callable[[str, object], None]
) -> None:
    email = "ada@example.com"
    account = {"email": email, "password": PASSWORD, "display_name": "Ada"}

    assert running.call("POST", "/v1/users", account).status == 202

    wait_for("the mail", running.mails)
    mail = running.mails()[0]
    assert mail["to"] == email
    assert mail["subject"]
    token = mail["links"][0].partition("token=")[2]
    assert token in mail["text"]

    verified = running.call("POST", "/v1/users:verifyEmail", {"token": token})
    assert (verified.status, verified.json["email_verified"]) == (200, True)

    ada = running.log_in(email)
    assert ada.tokens["token_type"] == "Bearer"
    assert 0 < ada.tokens["expires_in"] <= 600

    me = running.call("GET", "/v1/users/me", token=ada.token)
    assert (me.status, me.json["email"], me.json["display_name"]) == (200, email, "Ada")
    organizations = running.call("GET", "/v1/organizations", token=ada.token).json["organizations"]
    assert [(one["personal"], one["role"]) for one in organizations] == [(True, "owner")]

    wanted = {"name": "Engine", "description": "Analytical", "labels": {"state": "draft"}}
    made = running.call("POST", "/v1/projects", wanted, token=ada.token)
    assert made.status == 201
    assert made.headers["ETag"] == f'"{made.json["version"]}"'
    assert made.json["organization_id"] == organizations[0]["id"]
    path = f"/v1/projects/{made.json['id']}"

    changed = running.call(
        "PATCH", path, {"description": "Difference"}, token=ada.token, headers={"If-Match": made.headers["ETag"]}
    )
    assert (changed.status, changed.json["description"], changed.json["name"]) == (200, "Difference", "Engine")

    listed = running.call("GET", "/v1/projects?page_size=10", token=ada.token)
    assert [project["id"] for project in listed.json["projects"]] == [made.json["id"]]
    assert listed.json["next_page_token"] == ""

    archived = running.call("POST", path + ":archive", token=ada.token)
    assert (archived.status, archived.json["archived"]) == (200, True)
    assert running.call("PATCH", path, {"name": "Other"}, token=ada.token).status == 409
    assert running.call("POST", path + ":unarchive", token=ada.token).json["archived"] is False

    refreshed = running.call("POST", "/v1/sessions:refresh", {"refresh_token": ada.tokens["refresh_token"]})
    assert refreshed.status == 200
    assert refreshed.json["refresh_token"] != ada.tokens["refresh_token"]
    ada.tokens = refreshed.json

    sessions = running.call("GET", "/v1/sessions", token=ada.token).json["sessions"]
    assert [session["current"] for session in sessions] == [True]

    gone = running.call("DELETE", f"/v1/sessions/{ada.tokens['session_id']}", token=ada.token)
    assert (gone.status, gone.body) == (204, b"")

    seconds = known_within(1.0, lambda: running.call("GET", path, token=ada.token).status)
    measured("seconds until a revoked token was refused", round(seconds, 3))
    assert running.call("POST", "/v1/sessions:refresh", {"refresh_token": ada.tokens["refresh_token"]}).status == 401


def test_the_same_answer_meets_a_known_and_an_unknown_address(running: Platform) -> None:
    account = {"email": "known@example.com", "password": PASSWORD, "display_name": "Known"}
    first = running.call("POST", "/v1/users", account)
    second = running.call("POST", "/v1/users", account)
    assert (first.status, first.body) == (second.status, second.body) == (202, b"{}")


def test_what_belongs_to_somebody_else_does_not_exist(running: Platform) -> None:
    owner, stranger = running.join("owner@example.com"), running.join("stranger@example.com")
    path = f"/v1/projects/{running.project(owner, 'Private')['id']}"
    assert running.call("GET", path, token=owner.token).status == 200
    answers = [
        running.call("GET", path, token=stranger.token),
        running.call("PATCH", path, {"name": "Mine"}, token=stranger.token),
        running.call("POST", path + ":archive", token=stranger.token),
    ]
    assert [(answer.status, answer.json["code"]) for answer in answers] == [(404, "not_found")] * 3
    assert running.call("GET", "/v1/projects", token=stranger.token).json["projects"] == []


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/metrics", "/v1/openapi.json", "/.well-known/jwks.json"])
def test_the_platform_describes_itself_to_anybody(running: Platform, path: str) -> None:
    reply = running.call("GET", path)
    assert reply.status == 200
    assert reply.body


def test_a_list_is_read_page_by_page_without_loss(running: Platform) -> None:
    person = running.join("pages@example.com")
    made = [running.project(person, f"Project {number}")["id"] for number in range(7)]
    seen, token = list[str](), ""
    while True:
        page = running.call("GET", f"/v1/projects?page_size=3&page_token={token}", token=person.token).json
        seen += [project["id"] for project in page["projects"]]
        token = page["next_page_token"]
        if not token:
            break
    assert seen == made[::-1]
