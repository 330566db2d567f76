"""Tokens over HTTP: who gets in, and what those read who do not."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.unit.acme.authority import Authority, part
from tests.unit.acme.gateway.rig import ID, SESSION, Rig, running


async def test_a_token_becomes_the_principal_of_the_call(rig: Rig) -> None:
    assert (await rig.ask("GET", f"/v1/projects/{ID}")).status == 200
    principal = rig.projects.calls[0].principal
    assert (principal.id, principal.session, principal.organization) == ("usr_1", "ses_1", "org_1")


@pytest.mark.parametrize("value", ["Bearer {}", "bearer {}", "BEARER {}", "Bearer  {}"])
async def test_the_scheme_has_no_case(rig: Rig, value: str) -> None:
    answer = await rig.ask("GET", f"/v1/projects/{ID}", bearer=None, Authorization=value.format(rig.authority.token()))
    assert answer.status == 200


@pytest.mark.parametrize("value", [None, "", "Bearer", "Basic dXNlcjpwYXNz", "Token x", "DPoP x", "Bearerx"])
async def test_without_a_bearer_token_the_answer_says_what_to_send(rig: Rig, value: str | None) -> None:
    given = {} if value is None else {"Authorization": value}
    answer = await rig.ask("GET", f"/v1/projects/{ID}", bearer=None, **given)
    answer.problem(401, "token_missing")
    assert answer.headers["www-authenticate"] == 'Bearer realm="acme"'


async def test_a_token_in_the_query_is_no_token(rig: Rig) -> None:
    answer = await rig.ask("GET", f"/v1/projects/{ID}?access_token={rig.authority.token()}", bearer=None)
    answer.problem(401, "token_missing")


async def test_two_authorization_headers_are_refused(rig: Rig) -> None:
    request = rig.request("GET", f"/v1/projects/{ID}")
    twice = request.replace(b"\r\n\r\n", b"\r\nAuthorization: Bearer x\r\n\r\n")
    (await rig.raw(twice)).problem(400, "malformed_request")


def unsigned(authority: Authority) -> str:
    return f"{part({'alg': 'none', 'typ': 'at+jwt', 'kid': 'k1'})}.{part(authority.claims())}.AA"


def stranger(authority: Authority) -> str:
    """Signed with a key nobody has published."""
    other = Authority(clock=authority.clock)
    other.publish("other")
    return other.token("other")


BAD: dict[str, Callable[[Authority], str]] = {
    "expired": lambda a: a.token(exp=int(a.clock.time()) - 1),
    "not yet valid": lambda a: a.token(nbf=int(a.clock.time()) + 60),
    "wrongly signed": lambda a: Authority(clock=a.clock).token(),
    "alg none": unsigned,
    "other audience": lambda a: a.token(aud="other"),
    "other issuer": lambda a: a.token(iss="https://elsewhere.example"),
    "wrong typ": lambda a: a.token(header={"typ": "JWT"}),
    "unknown kid": stranger,
    "no JWT": lambda a: "abc",
    "lone surrogate": lambda a: "abc\udcff",
}


@pytest.mark.parametrize("make", BAD.values(), ids=BAD)
async def test_a_bad_token_is_401_and_loses_nothing(rig: Rig, make: Callable[[Authority], str]) -> None:
    token = make(rig.authority)
    answer = await rig.ask("POST", "/v1/projects", {"name": "x"}, bearer=token)
    expected = "token_expired" if make is BAD["expired"] else "invalid_token"
    answer.problem(401, expected)
    assert answer.headers["www-authenticate"].startswith('Bearer realm="acme", error="invalid_token"')
    assert token.encode("utf-8", "surrogateescape") not in answer.body
    assert rig.projects.requests == []


async def test_a_token_that_fits_into_no_header_is_431(rig: Rig) -> None:
    answer = await rig.ask("GET", f"/v1/projects/{ID}", bearer=rig.authority.token(jti="x" * 6000))
    answer.problem(431, "header_too_large")


async def test_a_revoked_session_is_401_after_a_poll(rig: Rig) -> None:
    token = rig.authority.token(sid="ses_9")
    assert (await rig.ask("GET", f"/v1/projects/{ID}", bearer=token)).status == 200
    rig.authority.revoke_session("ses_9")
    await rig.verifier.poll()
    (await rig.ask("GET", f"/v1/projects/{ID}", bearer=token)).problem(401, "token_revoked")


async def test_a_scope_that_is_too_small_is_403_and_named(rig: Rig) -> None:
    token = rig.authority.token(scope="projects.read")
    assert (await rig.ask("GET", f"/v1/projects/{ID}", bearer=token)).status == 200
    answer = await rig.ask("POST", "/v1/projects", {"name": "x"}, bearer=token)
    answer.problem(403, "insufficient_scope")
    assert 'scope="projects.create"' in answer.headers["www-authenticate"]


STEP_UP = "/v1/projects/{}:transfer"


async def test_a_method_that_wants_a_recent_log_in_says_so_before_it_reads_the_body(rig: Rig) -> None:
    now = int(rig.authority.clock.time())
    token = rig.authority.token(auth_time=now - 601)
    answer = await rig.ask("POST", STEP_UP.format(ID), b"{no JSON", bearer=token)
    answer.problem(401, "step_up_required")
    assert answer.headers["www-authenticate"] == (
        'Bearer realm="acme", error="insufficient_user_authentication",'
        ' error_description="More recent authentication is required", max_age="600"'
    )


async def test_a_recent_log_in_is_enough_for_ten_minutes(rig: Rig) -> None:
    now = int(rig.authority.clock.time())
    token = rig.authority.token(auth_time=now - 600)
    answer = await rig.ask("POST", STEP_UP.format(ID), b"{no JSON", bearer=token)
    answer.problem(400, "malformed_json")


async def test_a_token_for_programs_never_steps_up(rig: Rig) -> None:
    token = rig.authority.make_token()
    rig.authority.opaque[token].scopes = ["*"]
    answer = await rig.ask("POST", STEP_UP.format(ID), b"{no JSON", bearer=token)
    answer.problem(403, "step_up_impossible")
    assert "www-authenticate" not in answer.headers


async def test_a_token_for_programs_is_a_bearer_token_and_gone_with_the_next_poll(rig: Rig) -> None:
    token = rig.authority.make_token(2)
    assert (await rig.ask("GET", f"/v1/projects/{ID}", bearer=token)).status == 200
    principal = rig.projects.calls[-1].principal
    assert (principal.id, principal.session) == ("usr_1", "pat_2")
    assert principal.scopes == {"projects.read"}
    (await rig.ask("POST", "/v1/projects", {"name": "x"}, bearer=token)).problem(403, "insufficient_scope")
    rig.authority.end_token(token)
    await rig.verifier.poll()
    (await rig.ask("GET", f"/v1/projects/{ID}", bearer=token)).problem(401, "invalid_token")


async def test_a_public_method_does_not_look_at_the_token(rig: Rig) -> None:
    body = {"email": "a@b.example", "password": "right"}
    for bearer in (None, "garbage", rig.authority.token(exp=1)):
        assert (await rig.ask("POST", "/v1/sessions", body, bearer=bearer)).status == 201


async def test_wrong_credentials_are_401_too(rig: Rig) -> None:
    body = {"email": "a@b.example", "password": "wrong"}
    answer = await rig.ask("POST", "/v1/sessions", body, bearer=None)
    answer.problem(401, "invalid_credentials")
    assert answer.headers["www-authenticate"] == 'Bearer realm="acme"'


async def test_while_revocations_are_unknown_tokens_get_503_and_others_are_served() -> None:
    async with running() as rig:
        token = rig.authority.token()
        assert (await rig.ask("GET", f"/v1/projects/{ID}", bearer=token)).status == 200
        rig.verifier._polled -= 2
        rig.authority.up = False
        for bearer in (token, "garbage"):
            answer = await rig.ask("DELETE", f"/v1/sessions/{SESSION}", bearer=bearer)
            answer.problem(503, "tokens_unavailable")
            assert answer.headers["retry-after"] == "1"
        body = {"email": "a@b.example", "password": "right"}
        assert (await rig.ask("POST", "/v1/sessions", body, bearer=None)).status == 201
        assert (await rig.ask("GET", "/readyz")).json["checks"]["tokens"] != "ok"


async def test_a_method_that_ends_access_is_answered_when_the_gateway_knows(rig: Rig) -> None:
    token, known = rig.authority.token(sid="ses_10"), rig.verifier.seen
    assert (await rig.ask("GET", f"/v1/projects/{ID}", bearer=token)).status == 200
    rig.authority.revoke_session("ses_10")  # as the method does
    assert (await rig.ask("DELETE", f"/v1/sessions/{SESSION}")).status == 204
    (await rig.ask("GET", f"/v1/projects/{ID}", bearer=token)).problem(401, "token_revoked")
    assert rig.projects.calls[-1].seen == known
    assert (await rig.ask("GET", f"/v1/projects/{ID}")).status == 200
    assert rig.projects.calls[-1].seen == known + 1


async def test_an_authority_that_is_gone_spoils_no_answer(rig: Rig) -> None:
    token = rig.authority.token()
    assert (await rig.ask("GET", f"/v1/projects/{ID}", bearer=token)).status == 200
    rig.authority.up = False
    assert (await rig.ask("DELETE", f"/v1/sessions/{SESSION}", bearer=token)).status == 204
