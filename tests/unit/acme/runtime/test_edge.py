"""Where a gateway listens, and with which certificates."""

from __future__ import annotations

import ssl
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from acme.runtime import listener
from acme.runtime.databases import CannotStart
from acme.runtime.edge import MAIN, Edge, Elsewhere, further_of
from acme.runtime.roles import Role
from acme.runtime.settings import Config, load
from acme.runtime.tls.edge import EdgeCertificates
from acme.tasks import Tasks
from acme.telemetry import Metrics
from tests.certificates import Authority
from tests.handshakes import believer, handshake

Made = Callable[..., Config]


@pytest.fixture
def config(tmp_path: Path) -> Made:
    def make(**gateway: Any) -> Config:
        own = Authority().issue(tmp_path / "own", "api.example")
        pair = {"certificate": str(own["certificate"]), "key": str(own["key"])}
        tls = {"certificates": [pair], "authority": str(own["authority"]), **gateway.pop("tls", {})}
        platform = {"data": str(tmp_path / "data"), "public_url": gateway.pop("public_url", "")}
        return load(values={"platform": platform, "gateway": {"port": 0, **gateway, "tls": tls}})

    return make


async def opened(config: Config, role: Role | None = None) -> tuple[Edge, ExitStack]:
    with ExitStack() as stack:
        edge = Edge.open(config, role or Role(), stack)
        async with Tasks("edge", Metrics()) as tasks:
            edge.secure(config, Metrics(), tasks)
        return edge, stack.pop_all()


async def test_with_certificates_its_origin_is_https(config: Made) -> None:
    edge, stack = await opened(config())
    with stack:
        assert edge.url.startswith("https://127.0.0.1:")
        assert edge.places[1] is not None


async def test_without_it_is_plain_http(tmp_path: Path) -> None:
    edge, stack = await opened(load(values={"platform": {"data": str(tmp_path)}, "gateway": {"port": 0}}))
    with stack:
        assert edge.url.startswith("http://127.0.0.1:")
        assert (edge.places[1], tuple(edge.places[2]), edge.certificates) == (None, (), None)


async def test_each_further_listener_is_what_its_settings_say(config: Made) -> None:
    listeners = {
        "machines": {"port": 0, "client": "required"},
        "plain": {"port": 0, "serves": "redirect"},
        "inside": {"port": 0, "tls": False},
    }
    edge, stack = await opened(config(listeners=listeners))
    with stack:
        found = {
            next(name for name, one in edge.sockets.items() if one is place.socket): (
                place.tls is not None,
                place.redirect is not None,
            )
            for place in edge.places[2]
        }
        assert found == {"machines": (True, False), "plain": (False, True), "inside": (False, False)}
        machines = next(place.tls for place in edge.places[2] if place.tls is not None)
        client = believer((Path(edge.certificates._settings.authority)) if edge.certificates else b"")
        with pytest.raises(ssl.SSLError):
            handshake(machines, client)
        assert edge.places[1] is not None
        assert handshake(edge.places[1], client).name == "api.example"


async def test_sockets_of_a_parent_are_taken_over_by_name(config: Made) -> None:
    with listener.listen("127.0.0.1", 0) as main, listener.listen("127.0.0.1", 0) as plain:
        role = Role(socket=main.detach(), sockets={"plain": plain.detach()})
        edge, stack = await opened(config(listeners={"plain": {"port": 0, "serves": "redirect"}}), role)
        with stack:
            assert edge.sockets[MAIN].fileno() == role.socket
            assert edge.sockets["plain"].fileno() == role.sockets["plain"]


async def test_a_local_authority_is_made_and_named(tmp_path: Path) -> None:
    values = {"platform": {"data": str(tmp_path)}, "gateway": {"port": 0, "tls": {"local": True}}}
    edge, stack = await opened(load(values=values))
    with stack:
        assert edge.authority == tmp_path / "tls" / "authority.pem"
        assert edge.places[1] is not None
        assert handshake(edge.places[1], believer(edge.authority, check_name=True), "localhost").name == "localhost"


async def test_other_settings_are_used_by_listeners_that_stand(config: Made, tmp_path: Path) -> None:
    edge, stack = await opened(config())
    with stack:
        other = Authority().issue(tmp_path / "other", "new.example")
        pair = {"certificate": str(other["certificate"]), "key": str(other["key"])}
        edge.prepare(config(tls={"certificates": [pair]}).gateway)()
        assert edge.places[1] is not None
        assert handshake(edge.places[1], believer(other["authority"])).name == "new.example"


async def test_certificates_that_cannot_be_used_stop_the_start(config: Made) -> None:
    missing = {"certificate": "nowhere.pem", "key": "nowhere.key"}
    with pytest.raises(CannotStart, match=r"\[gateway.tls\] certificate nowhere.pem cannot be read"):
        await opened(config(tls={"certificates": [missing]}))


def test_a_further_port_that_is_busy_is_told_and_no_other_is_tried(config: Made) -> None:
    with listener.listen("127.0.0.1", 0) as busy:
        port = busy.getsockname()[1]
        one = config(listeners={"free": {"port": 0}, "taken": {"port": port}})
        with pytest.raises(CannotStart, match=rf"\[gateway.listeners.taken\]: port {port} of 127.0.0.1 is in use"):
            further_of(one.gateway)


def test_several_gateways_have_ports_one_after_the_other(config: Made) -> None:
    with listener.listen("127.0.0.1", 0) as second:
        port = second.getsockname()[1]
        one = config(listeners={"inside": {"port": port - 1, "tls": False}})
        with pytest.raises(CannotStart, match=f"port {port} of 127.0.0.1 is in use"):
            further_of(one.gateway, 1)


@pytest.mark.parametrize(
    ("host", "port", "origin"),
    [
        ("api.example", 443, "https://api.example"),
        ("API.example.", 8443, "https://api.example:8443"),
        ("evil.example", 443, ""),
        ("", 443, ""),
        ("127.0.0.1", 443, ""),
    ],
)
def test_a_redirect_leads_to_the_same_host_where_a_certificate_is_for_it(
    config: Made, host: str, port: int, origin: str
) -> None:
    assert Elsewhere(EdgeCertificates(config().gateway.tls, Metrics()), port)(host) == origin


def test_a_redirect_writes_addresses_as_origins_do(tmp_path: Path) -> None:
    from acme.runtime.tls.files import utc_now
    from acme.runtime.tls.local import Local

    local = Local.of(tmp_path)
    local.ensure(utc_now())
    values = {
        "gateway": {"tls": {"certificates": [{"certificate": local.settings.certificate, "key": local.settings.key}]}}
    }
    to = Elsewhere(EdgeCertificates(load(values=values).gateway.tls, Metrics()), 8443)
    assert (to("0:0::1"), to("127.0.0.1")) == ("https://[::1]:8443", "https://127.0.0.1:8443")


@pytest.mark.parametrize(("public_url", "ends"), [("https://acme.example", ""), ("https://acme.example:9443", ":9443")])
async def test_a_redirect_leads_to_the_port_that_the_world_knows(config: Made, public_url: str, ends: str) -> None:
    edge, stack = await opened(config(public_url=public_url, listeners={"plain": {"port": 0, "serves": "redirect"}}))
    with stack:
        (place,) = edge.places[2]
        assert place.redirect is not None
        assert place.redirect("api.example") == f"https://api.example{ends}"
