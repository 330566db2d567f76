"""How often anybody may ask, and what answers say of it."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from acme import drivers
from acme.context import ANONYMOUS, Kind, Membership, Principal
from acme.drivers.clock import MovableClock
from acme.gateway.limits import Limits, Quota, plan
from acme.gateway.settings import Allowance, ClassSettings, LimitSettings, RouteSettings
from acme.gcra import SECOND, Limit
from acme.tasks import Tasks
from acme.telemetry import Metrics
from tests.unit.acme.gateway.rig import ID, MUCH, SESSION, Answer, Rig, running
from tests.waiting import sample

ONE = f"/v1/projects/{ID}"
FEW = ClassSettings(rate=60, burst=3, address_rate=600, address_burst=100)
LOG_IN = {"email": "a@example.com", "password": "right"}
USER = Principal(Kind.USER, "usr_1")


@pytest.fixture
async def few() -> AsyncIterator[Rig]:
    """A gateway where a principal may ask three times, and an address log in twice."""
    credentials = replace_class(MUCH, address_rate=30, address_burst=2)
    async with running(limits=LimitSettings(default=FEW, credentials=credentials)) as rig:
        yield rig


def replace_class(of: ClassSettings, **changed: Any) -> ClassSettings:
    return ClassSettings(**{name: getattr(of, name) for name in of.__struct_fields__} | changed)


def told(answer: Answer) -> tuple[str, int, int, int, int]:
    """Policy, quota, window, what is left and the seconds until there is more; of the form of the draft (RFC 9651)."""
    policy = re.fullmatch(r'"([a-z-]+)";q=(\d+);w=(\d+)', answer.headers["ratelimit-policy"])
    state = re.fullmatch(r'"([a-z-]+)";r=(\d+);t=(\d+)', answer.headers["ratelimit"])
    assert policy
    assert state
    assert policy[1] == state[1]
    return policy[1], int(policy[2]), int(policy[3]), int(state[2]), int(state[3])


async def test_a_principal_has_its_burst_and_is_told_what_is_left(few: Rig) -> None:
    answers = [await few.ask("GET", ONE) for _ in range(4)]
    assert [answer.status for answer in answers] == [200, 200, 200, 429]
    assert [told(answer) for answer in answers] == [("default", 3, 3, left, 1) for left in (2, 1, 0, 0)]
    problem = answers[-1].problem(429, "rate_limited")
    assert problem["detail"] == "Too many requests: try again in 1 second."
    assert answers[-1].headers["retry-after"] == "1"
    assert len(few.projects.requests) == 3, "what is refused reaches no service"


async def test_after_the_seconds_it_was_told_it_is_let_through_again(few: Rig) -> None:
    answer = await few.ask("GET", ONE)
    while answer.status == 200:
        answer = await few.ask("GET", ONE)
    few.authority.clock.advance(int(answer.headers["retry-after"]))
    assert (await few.ask("GET", ONE)).status == 200


async def test_principals_do_not_share(few: Rig) -> None:
    one, two = (
        few.authority.token(sub="usr_01h455vb4pex5vsknk084sn02q"),
        few.authority.token(sub="usr_01h455vb4pex5vsknk084sn03q"),
    )
    assert [(await few.ask("GET", ONE, bearer=token)).status for token in (one,) * 4 + (two,)] == [200] * 3 + [429, 200]


async def test_an_address_is_limited_where_nobody_is_known(few: Rig) -> None:
    answers = [await few.ask("POST", "/v1/sessions", LOG_IN, bearer=None) for _ in range(3)]
    assert [answer.status for answer in answers] == [201, 201, 429]
    assert [told(answer) for answer in answers] == [("credentials-address", 2, 4, left, 2) for left in (1, 0, 0)]
    assert answers[-1].headers["retry-after"] == "2"
    assert len(few.sessions.requests) == 2
    assert (await few.ask("GET", ONE)).status == 200, "classes do not share"


async def test_sessions_go_on_where_an_address_has_no_log_in_left(few: Rig) -> None:
    """Many people share an address, and each of them refreshes every few minutes."""
    for _ in range(3):
        await few.ask("POST", "/v1/sessions", LOG_IN, bearer=None)
    answer = await few.ask("POST", "/v1/sessions:refresh", {"refresh_token": "r"}, bearer=None)
    assert answer.status != 429
    assert told(answer)[0] == "refresh-address"


async def test_the_address_is_asked_before_the_token_is_looked_at() -> None:
    stranger = replace_class(MUCH, address_rate=1, address_burst=2)
    async with running(limits=LimitSettings(default=stranger)) as rig:
        answers = [await rig.ask("GET", ONE, bearer=bearer) for bearer in (None, "forged", "forged", None)]
        assert [answer.status for answer in answers] == [401, 401, 429, 429]
        assert [told(answer)[0] for answer in answers] == ["default-address"] * 4


async def test_every_answer_of_a_limited_route_says_what_is_left_and_no_other_does(rig: Rig) -> None:
    limited = [
        await rig.ask("GET", ONE),
        await rig.ask("HEAD", ONE),
        await rig.ask("GET", "/v1/projects/prj_01h455vb4pex5vsknk084sn03q"),
        await rig.ask("PATCH", ONE, b"{"),
        await rig.ask("GET", f"{ONE}?nothing=1"),
        await rig.ask("GET", ONE, bearer=None),
        await rig.ask("POST", "/v1/projects", b"x" * 2_000_000),
        await rig.ask("DELETE", f"/v1/sessions/{SESSION}"),
        await rig.ask("GET", ONE, If_None_Match='"7"'),
    ]
    assert [answer.status for answer in limited] == [200, 200, 404, 400, 422, 401, 413, 204, 304]
    assert {told(answer)[0] for answer in limited} == {"default", "default-address"}
    for path in ("/healthz", "/metrics", "/nowhere"):
        assert "ratelimit" not in (await rig.ask("GET", path)).headers


async def test_health_and_metrics_are_never_refused(few: Rig) -> None:
    assert {(await few.ask("GET", path)).status for path in ("/healthz", "/readyz", "/metrics") * 50} == {200}


async def test_refusals_are_counted(few: Rig) -> None:
    for _ in range(5):
        await few.ask("GET", ONE)
    assert sample(few.metrics, 'acme_gateway_limited_total{limit="default"}') == 2


async def test_all_of_a_burst_that_comes_at_once_is_counted(few: Rig) -> None:
    answers = await asyncio.gather(*(few.ask("GET", ONE) for _ in range(20)))
    assert sorted(answer.status for answer in answers) == [200] * 3 + [429] * 17


async def test_a_route_that_costs_more_takes_more_of_both_limits() -> None:
    costly = {"acme.projects.v1.Projects/GetProject": RouteSettings(cost=3)}
    few = replace_class(FEW, burst=10, address_burst=7)
    async with running(limits=LimitSettings(default=few), routes=costly) as rig:
        answers = [await rig.ask("GET", ONE) for _ in range(3)]
        assert [answer.status for answer in answers] == [200, 200, 429]
        assert [told(answer)[:4] for answer in answers] == [
            ("default", 10, 10, 7),
            ("default", 10, 10, 4),
            ("default-address", 7, 1, 0),
        ]
        assert (await rig.ask("GET", "/v1/projects")).status == 200, "it costs one, and one is left"


async def test_in_a_flood_of_addresses_strangers_share_and_who_is_known_is_limited_as_ever() -> None:
    """Room for a hundred addresses, and a hundred and sixty come from one /24, each with nothing left."""
    once = replace_class(FEW, address_rate=0.01, address_burst=1)
    async with running(limits=LimitSettings(default=once, keys=100), proxies=("127.0.0.0/8",)) as rig:
        known = rig.authority.token(sub="usr_01h455vb4pex5vsknk084sn02q")
        new = rig.authority.token(sub="usr_01h455vb4pex5vsknk084sn03q")
        assert (await rig.ask("GET", ONE, bearer=known, X_Forwarded_For="192.0.2.1")).status == 200
        async with rig.connection() as connection:
            for number in range(160):
                connection.send(rig.request("GET", ONE, bearer=None, X_Forwarded_For=f"198.51.100.{number}"))
                await connection.answer()

        async def ask(bearer: str | None, address: str) -> str:
            answer = await rig.ask("GET", ONE, bearer=bearer, X_Forwarded_For=address)
            return f"{answer.status} {told(answer)[0]}"

        assert await ask(None, "198.51.100.200") == "429 default-address", "its network has nothing left"
        assert await ask(new, "198.51.100.201") == "429 default-address", "a token is not verified for that"
        assert await ask(known, "198.51.100.202") == "200 default"
        assert await ask(known, "198.51.100.203") == "200 default"
        assert await ask(known, "198.51.100.204") == "429 default", "three are what a principal has"
        assert await ask(known, "198.51.100.1") == "429 default-address", "that one has a limit of its own"
        assert await ask(None, "203.0.113.1") == "401 default-address", "from elsewhere"


# Without HTTP


def made(settings: LimitSettings, tmp_path: Path) -> tuple[Limits, Metrics]:
    metrics, tasks = Metrics(), Tasks("test", Metrics())
    clock = MovableClock(tmp_path / "clock")
    return Limits(
        drivers.open_limiter("memory:", clock=clock, tasks=tasks, metrics=metrics), settings, metrics
    ), metrics


def test_a_class_nobody_has_set_has_the_default_s_numbers_and_buckets_of_its_own(tmp_path: Path) -> None:
    own = ClassSettings(rate=1, burst=1)
    gates, _ = made(LimitSettings(default=FEW, classes={"exports": own}), tmp_path)
    exports, other, default = gates.gate("exports"), gates.gate("other"), gates.gate("default")
    assert (exports.principal(USER).limit, exports.principal(USER).name) == (Limit(1 / 60, 1), "exports")
    assert other.principal(USER).limit == default.principal(USER).limit == Limit(1, 3)
    assert [default.principal(USER).take("k", 0.0) >= 0 for _ in range(4)] == [True] * 3 + [False]
    assert other.principal(USER).take("k", 0.0) >= 0
    assert gates.gate("other") is other


def test_limits_that_stay_the_same_go_on_with_what_is_left_of_them(tmp_path: Path) -> None:
    before, metrics = made(LimitSettings(default=FEW), tmp_path)
    quota = before.gate("default").principal(USER)
    assert [quota.take("k", 0.0) >= 0 for _ in range(4)] == [True] * 3 + [False]
    changed = LimitSettings(default=replace_class(FEW, address_burst=1))
    gate = Limits(before._limiter, changed, metrics).gate("default")
    assert gate.principal(USER).take("k", 0.0) < 0
    assert gate.address.limit.burst == 1


def test_a_limit_that_changes_keeps_what_was_taken_and_the_old_one_stays_until_it_is_given_up(tmp_path: Path) -> None:
    before, metrics = made(LimitSettings(default=FEW), tmp_path)
    old = before.gate("default").principal(USER)
    assert [old.take("k", 0.0) >= 0 for _ in range(2)] == [True] * 2
    new = Limits(before._limiter, LimitSettings(default=replace_class(FEW, burst=5)), metrics).gate("default")
    assert old.limit.burst == 3
    assert [new.principal(USER).take("k", 0.0) >= 0 for _ in range(4)] == [True] * 3 + [False]
    assert old.take("k", 0.0) < 0


def test_everybody_is_on_the_plan_default_and_settings_may_say_what_that_is(tmp_path: Path) -> None:
    assert plan(USER, {}) == plan(ANONYMOUS, {"org_1": "gold"}) == "default"
    gates, _ = made(LimitSettings(default=FEW, plans={"default": {"default": Allowance(120, 7)}}), tmp_path)
    quota = gates.gate("default").principal(USER)
    assert (quota.limit, quota.name) == (Limit(2, 7), "default")
    assert gates.gate("credentials").principal(USER).limit.burst == 20, "a plan that says nothing of a class leaves it"


def test_a_plan_has_buckets_of_its_own_for_those_whose_organisation_is_on_it(tmp_path: Path) -> None:
    plans = {"gold": {"default": Allowance(60, 50)}}
    gates, _ = made(LimitSettings(default=FEW, plans=plans, organizations={"org_2": "gold"}), tmp_path)
    gate = gates.gate("default")
    assert gate.principal(replace(USER, organization="org_1")).name == "default"
    for golden in (
        replace(USER, organization="org_2"),
        replace(USER, organization="org_1", memberships={"org_1": Membership("owner"), "org_2": Membership("viewer")}),
    ):
        quota = gate.principal(golden)
        assert (quota.name, quota.limit.burst) == ("default-gold", 50)


def test_a_plan_that_nobody_has_described_is_told_at_the_start() -> None:
    with pytest.raises(ValueError, match=r"organizations\.org_2: there is no plan 'gold'"):
        LimitSettings(organizations={"org_2": "gold"})


@pytest.mark.parametrize(
    ("rate", "burst", "spare", "lines"),
    [
        (1.0, 3, 2 * SECOND, b'"m";q=3;w=3|"m";r=2;t=1'),
        (1.0, 3, 2 * SECOND + 1, b'"m";q=3;w=3|"m";r=2;t=1'),
        (1.0, 3, 0, b'"m";q=3;w=3|"m";r=0;t=1'),
        (0.1, 3, 15 * SECOND, b'"m";q=3;w=30|"m";r=1;t=5'),
        (0.1, 3, -1, b'"m";q=3;w=30|"m";r=0;t=1'),
        (0.1, 3, -9 * SECOND - 1, b'"m";q=3;w=30|"m";r=0;t=10'),
        (50.0, 500, 499 * SECOND // 50, b'"m";q=500;w=10|"m";r=499;t=1'),
        (50.0, 1, 0, b'"m";q=1;w=1|"m";r=0;t=1'),
    ],
)
def test_lines_are_in_whole_units_and_seconds(
    tmp_path: Path, rate: float, burst: int, spare: int, lines: bytes
) -> None:
    limiter = drivers.open_limiter(
        "memory:", clock=MovableClock(tmp_path / "clock"), tasks=Tasks("test", Metrics()), metrics=Metrics()
    )
    quota = Quota(limiter, Metrics(), "m", "default", Limit(rate, burst), 100)
    policy, state = lines.split(b"|")
    assert quota.lines(spare) == b"RateLimit-Policy: %b\r\nRateLimit: %b\r\n" % (policy, state)
    if spare < 0:
        assert quota.refusal(spare).retry_after == quota.wait(spare) == int(state.rpartition(b"=")[2])
