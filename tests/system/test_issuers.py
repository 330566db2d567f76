"""Another issuer's tokens at a running platform, in one process and in several: who comes with one, and what happens to its
clients while its keys change, or while it is gone."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from acme.tokens.claims import foreign_id
from tests.issuer import KEYS, Issuer, Page, issuing
from tests.system.running import ACME, Person, Platform, Reply, check_problem, wait_for
from tests.system.steady import steady

REFRESH = 1.0


@dataclass
class Town:
    platform: Platform
    issuer: Issuer
    ada: Person
    organization: str

    def looked(self) -> None:
        """Returns when every process has looked at the issuer's keys once more."""
        seen, processes = len(self.issuer.asked), max(1, len(self.platform.ready["processes"]))
        wait_for("all have looked", lambda: len(self.issuer.asked) >= seen + 4 * processes, 30)

    def reload(self) -> None:
        """`acme reload`."""
        one = self.platform
        command = [ACME, "reload", "--data", str(one.data)]
        done = subprocess.run(command, cwd=one.folder, env=one.environ, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stdout + done.stderr

    def ask(self, verb: str, path: str, body: Any = None, **claims: Any) -> Reply:
        """A request with a token of the issuer's."""
        return self.platform.call(verb, path, body, token=self.issuer.token(**claims))


def declared(issuer: Issuer, organization: str) -> str:
    """`acme.toml` that trusts the issuer for one organisation."""
    table = issuer.settings(refresh=REFRESH)
    principal = table.pop("principal") | {"organization": organization}
    lines = ["[tokens.issuers.partner]", *(f"{key} = {json.dumps(value)}" for key, value in table.items())]
    lines += ["[tokens.issuers.partner.principal]"]
    for key, value in principal.items():
        text = ", ".join(f"{name} = {json.dumps(one)}" for name, one in value.items()) if type(value) is dict else ""
        lines.append(f"{key} = {{ {text} }}" if text else f"{key} = {json.dumps(value)}")
    return "\n".join(lines)


@pytest.fixture(
    scope="module",
    params=[
        pytest.param(("--port", "0"), id="one process"),
        pytest.param(("--port", "0", "--split"), id="split", marks=pytest.mark.drill),
    ],
)
def town(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Town]:
    one = Platform(tmp_path_factory.mktemp("town"), *request.param)
    with issuing() as issuer:
        try:
            one.start()
            ada = one.join("ada@example.com")
            (home,) = one.call("GET", "/v1/organizations", token=ada.token).json["organizations"]
            assert one.stop() == 0
            (one.folder / "acme.toml").write_text(declared(issuer, home["id"]))
            one.start()
            yield Town(one, issuer, one.log_in("ada@example.com"), home["id"])
            assert one.stop() == 0
        finally:
            one.close()


def test_who_comes_with_anothers_token_may_do_what_was_declared(town: Town) -> None:
    made = town.ask("POST", "/v1/projects", {"name": "Foreign"}, roles=["chief"])
    assert (made.status, made.json["organization_id"]) == (201, town.organization)
    path = f"/v1/projects/{made.json['id']}"
    assert town.ask("GET", path, sub="another").json["name"] == "Foreign", "a viewer of the organisation"
    assert town.platform.call("GET", path, token=town.ada.token).status == 200
    change = {"name": "Changed"}
    check_problem(town.ask("PATCH", path, change, sub="another"), 403, "permission_denied")
    check_problem(town.ask("GET", path, scope="nothing"), 403, "insufficient_scope")


def test_who_has_no_account_is_told_so_where_one_is_needed(town: Town) -> None:
    for verb, path, body in (
        ("GET", "/v1/users/me", None),
        ("GET", "/v1/sessions", None),
        ("GET", "/v1/organizations", None),
        ("POST", "/v1/organizations", {"name": "Mine"}),
        ("GET", "/v1/tokens", None),
        ("POST", f"/v1/organizations/{town.organization}/teams", {"name": "Foreign"}),
        ("POST", f"/v1/organizations/{town.organization}/invitations", {"email": "a@example.com", "role": "admin"}),
    ):
        check_problem(town.ask(verb, path, body, roles=["chief"]), 403, "no_account")


def test_what_wants_a_fresh_log_in_is_closed_to_those_who_never_log_in(town: Town) -> None:
    body = {"name": "key", "scopes": ["read"], "expires_in_days": 1}
    check_problem(town.ask("POST", "/v1/tokens", body, roles=["chief"]), 403, "step_up_impossible")


def test_the_audit_log_names_who_came_from_elsewhere(town: Town) -> None:
    made = town.ask("POST", "/v1/projects", {"name": "Recorded"}, sub="recorded", roles=["chief"])
    assert made.status == 201
    who = foreign_id(town.issuer.url, "recorded")
    path = f"/v1/organizations/{town.organization}/auditRecords?actor_id={who}"
    found: list[dict[str, Any]] = []

    def recorded() -> bool:
        found[:] = town.platform.call("GET", path, token=town.ada.token).json["records"]
        return bool(found)

    wait_for("it is in the log", recorded, 20)
    (record,) = [each["record"] for each in found]
    assert (record["action"].rpartition("/")[2], record["request_id"]) == (
        "CreateProject",
        made.headers["X-Request-Id"],
    )
    assert (record["actor"]["kind"], record["organization_id"]) == ("user", town.organization)


def test_readiness_says_how_an_issuer_is(town: Town) -> None:
    wait_for("it answers", lambda: town.platform.call("GET", "/readyz").json["stores"]["issuer partner"] == "ok", 20)


def test_an_issuer_is_trusted_until_a_reload_without_it(town: Town) -> None:
    file = town.platform.folder / "acme.toml"
    trusted, token = file.read_text(), town.issuer.token(sub="reloaded")
    assert town.platform.call("GET", "/v1/projects", token=token).status == 200
    for text, status in (("", 401), (trusted, 200)):
        file.write_text(text)
        town.reload()
        assert town.platform.call("GET", "/v1/projects", token=token).status == status


def test_a_token_that_is_for_others_is_refused(town: Town) -> None:
    check_problem(town.ask("GET", "/v1/projects", aud="others"), 401, "invalid_token")
    check_problem(town.ask("GET", "/v1/projects", exp=1), 401, "token_expired")
    assert town.platform.call("GET", "/v1/projects", token=town.ada.token).status == 200


@pytest.mark.drill
def test_an_issuers_keys_change_under_load_and_nobody_notices(town: Town) -> None:
    """One that publishes its keys before it signs, with the old one until its tokens have expired."""
    kids = ["k1"]

    def token() -> str:
        return town.issuer.token(kids[-1], sub=f"holder {time.monotonic_ns() % 50}")

    with steady(town.platform.api, "/v1/projects", token, pause=0.005) as load:
        for number in range(2, 5):
            town.issuer.publish(f"k{number}")
            town.looked()
            kids.append(f"k{number}")
            load.more(100)
            town.issuer.withdraw(kids[-2])
    assert load.failures == []


def test_a_key_that_is_used_at_once_is_found_by_its_first_token(town: Town) -> None:
    town.issuer.publish("sudden")
    reply = town.platform.call("GET", "/v1/projects", token=town.issuer.token("sudden"))
    assert reply.status == 200


@pytest.mark.drill
def test_while_an_issuer_is_gone_its_tokens_go_on_working(town: Town) -> None:
    keys = town.issuer.pages[KEYS]
    town.issuer.publish("last")
    fresh = iter(range(1_000_000))

    def token() -> str:
        return town.issuer.token("last", jti=str(next(fresh)))

    town.looked()
    town.issuer.pages[KEYS] = Page(b"down", 503)
    try:
        with steady(town.platform.api, "/v1/projects", token, pause=0.005) as load:
            town.looked()
            load.more(100)
        assert load.failures == []
        unknown = town.issuer.token("last", header={"kid": "unheard of"})
        reply = town.platform.call("GET", "/v1/projects", token=unknown)
        check_problem(reply, 503, "tokens_unavailable")
        assert reply.headers["Retry-After"]
    finally:
        town.issuer.pages[KEYS] = keys
        town.issuer.publish("k1")
