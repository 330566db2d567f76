"""Health, readiness, metrics, keys and the index."""

from __future__ import annotations

from tests.unit.acme.gateway.rig import Rig, running


async def test_a_process_that_lives_says_so(rig: Rig) -> None:
    answer = await rig.ask("GET", "/healthz", bearer=None)
    assert (answer.status, answer.json["status"]) == (200, "ok")


async def test_ready_means_every_check_is_ok(rig: Rig) -> None:
    answer = await rig.ask("GET", "/readyz", bearer=None)
    assert answer.status == 200
    assert answer.json == {
        "ready": True,
        "checks": {"started": "ok", "draining": "ok", "tokens": "ok"},
        "plugins": {"projects": "ok", "users": "ok"},
        "stores": {},
    }


async def test_a_sick_plugin_is_not_ready_and_one_that_is_out_of_reach_is() -> None:
    async with running() as rig:
        for state in ("quarantined", "unreachable", "contract differs", "not served"):
            rig.health["projects"] = state
            answer = await rig.ask("GET", "/readyz")
            assert (answer.status, answer.json["plugins"]["projects"]) == (200, state)
        rig.health["projects"] = "the database cannot be reached"
        answer = await rig.ask("GET", "/readyz")
        assert (answer.status, answer.json["ready"]) == (503, False)
        assert answer.json["plugins"]["projects"] == "the database cannot be reached"
        assert (await rig.ask("GET", "/healthz")).status == 200


async def test_unknown_revocations_are_not_ready() -> None:
    async with running() as rig:
        rig.authority.up = False
        rig.verifier._polled -= 2
        assert (await rig.ask("GET", "/readyz")).status == 503


async def test_the_keys_are_those_of_the_verifier(rig: Rig) -> None:
    answer = await rig.ask("GET", "/.well-known/jwks.json", bearer=None)
    assert answer.headers["content-type"] == "application/jwk-set+json"
    assert [key["kid"] for key in answer.json["keys"]] == ["k1"]
    assert "d" not in answer.json["keys"][0]


async def test_metrics_are_in_prometheus_format(rig: Rig) -> None:
    answer = await rig.ask("GET", "/metrics", bearer=None)
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    assert b"# TYPE http_server_request_duration_seconds histogram" in answer.body


async def test_the_index_leads_on(rig: Rig) -> None:
    answer = await rig.ask("GET", "/", bearer=None)
    for path in answer.json["links"].values():
        assert (await rig.ask("GET", path, bearer=None)).status == 200
