"""Where a request comes from, whatever it says itself."""

from __future__ import annotations

from ipaddress import ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st
from multidict import CIMultiDict, CIMultiDictProxy

from acme.gateway.addresses import Addresses, network, wider
from tests.unit.acme.gateway.rig import ID, Rig, running

ONE = f"/v1/projects/{ID}"
PROXIES = ("10.0.0.0/8", "fd00::/8")


def of(peer: str, *forwarded: str, proxies: tuple[str, ...] = PROXIES) -> str:
    headers = CIMultiDictProxy(CIMultiDict([("X-Forwarded-For", value) for value in forwarded]))
    return Addresses(proxies).of(peer, headers)


@pytest.mark.parametrize(
    ("peer", "forwarded", "client"),
    [
        ("203.0.113.9", ["198.51.100.1"], "203.0.113.9"),
        ("10.0.0.1", [], "10.0.0.1"),
        ("10.0.0.1", ["198.51.100.1"], "198.51.100.1"),
        ("10.0.0.1", ["1.2.3.4, 198.51.100.1"], "198.51.100.1"),
        ("10.0.0.1", ["1.2.3.4", "198.51.100.1, 10.0.0.2"], "198.51.100.1"),
        ("10.0.0.1", ["10.9.9.9, 10.0.0.2"], "10.9.9.9"),
        ("10.0.0.1", ["198.51.100.1, unknown"], "10.0.0.1"),
        ("10.0.0.1", ["198.51.100.1, unknown, 10.0.0.2"], "10.0.0.2"),
        ("10.0.0.1", ["usr_evil"], "10.0.0.1"),
        ("10.0.0.1", [""], "10.0.0.1"),
        ("10.0.0.1", ["198.51.100.1:4711"], "198.51.100.1"),
        ("10.0.0.1", ["[2001:DB8::1]:443"], "2001:db8::1"),
        ("10.0.0.1", ["::ffff:198.51.100.1"], "198.51.100.1"),
        ("fd00::1", ["2001:db8::1"], "2001:db8::1"),
        ("", ["198.51.100.1"], ""),
    ],
)
def test_only_what_a_proxy_of_ours_has_added_is_believed(peer: str, forwarded: list[str], client: str) -> None:
    assert of(peer, *forwarded) == client


@pytest.mark.parametrize(
    ("forwarded", "client"),
    [
        (["for=198.51.100.1"], "198.51.100.1"),
        (["For=198.51.100.1;proto=https;by=10.0.0.1"], "198.51.100.1"),
        (['proto=https ; FOR="198.51.100.1:4711"'], "198.51.100.1"),
        (['for="[2001:DB8::1]:443"'], "2001:db8::1"),
        (['for="\\198.51.100.1"'], "198.51.100.1"),
        (["for=1.2.3.4, for=198.51.100.1"], "198.51.100.1"),
        (["for=1.2.3.4", "for=198.51.100.1, for=10.0.0.2;by=10.0.0.1"], "198.51.100.1"),
        (["for=198.51.100.1,for=_hidden,for=10.0.0.2"], "10.0.0.2"),
        (["for=198.51.100.1, for=unknown"], "10.0.0.1"),
        (["for=198.51.100.1, proto=https"], "10.0.0.1"),
        (["for=1.2.3.4;for=198.51.100.1"], "10.0.0.1"),
        (["198.51.100.1"], "10.0.0.1"),
        (["for = 198.51.100.1"], "10.0.0.1"),
        (["for=198.51.100.1 x"], "10.0.0.1"),
        (['for="198.51.100.1'], "10.0.0.1"),
        (['for="evil, for=198.51.100.1'], "198.51.100.1"),
        (['for="1.2.3.4, for=9.9.9.9;a=", for=198.51.100.1'], "198.51.100.1"),
        (['for=198.51.100.1;host="a, for=9.9.9.9"'], "198.51.100.1"),
        (['for=198.51.100.1;host="a;for=9.9.9.9"'], "198.51.100.1"),
        (["for=1.2.3.4, for=" + "x" * 600], "10.0.0.1"),
        ([", ".join(["for=198.51.100.1", *["for=10.0.0.9"] * 40])], "10.0.0.9"),
        ([""], "10.0.0.1"),
    ],
)
def test_of_forwarded_only_the_element_that_a_proxy_of_ours_has_added_is_believed(
    forwarded: list[str], client: str
) -> None:
    headers = CIMultiDictProxy(CIMultiDict([("Forwarded", value) for value in forwarded]))
    assert Addresses(PROXIES, "Forwarded").of("10.0.0.1", headers) == client


def test_only_the_header_that_is_declared_is_looked_at() -> None:
    both = CIMultiDictProxy(CIMultiDict([("Forwarded", "for=198.51.100.1"), ("X-Forwarded-For", "198.51.100.2")]))
    assert Addresses(PROXIES, "Forwarded").of("10.0.0.1", both) == "198.51.100.1"
    assert Addresses(PROXIES).of("10.0.0.1", both) == "198.51.100.2"


@given(st.text(max_size=60))
def test_whatever_a_client_sends_forwarded_ends_with_what_the_proxy_wrote(sent: str) -> None:
    headers = CIMultiDictProxy(CIMultiDict([("Forwarded", f'{sent}, for="[2001:db8::1]:80";proto=http')]))
    assert Addresses(PROXIES, "Forwarded").of("10.0.0.1", headers) == "2001:db8::1"


def test_without_proxies_nobody_is_believed() -> None:
    assert of("10.0.0.1", "198.51.100.1", proxies=()) == "10.0.0.1"


@given(st.text(max_size=60))
def test_whatever_a_client_sends_the_address_is_one_that_a_proxy_saw(sent: str) -> None:
    assert of("10.0.0.1", f"{sent}, 198.51.100.1") == "198.51.100.1"


@pytest.mark.parametrize(
    ("address", "counted"),
    [
        ("198.51.100.1", "198.51.100.1"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::9", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("::ffff:198.51.100.1", "198.51.100.1"),
        ("", ""),
        (":", ":"),
    ],
)
def test_an_address_of_ipv6_counts_as_its_network(address: str, counted: str) -> None:
    assert network(address) == counted


@pytest.mark.parametrize(
    ("counted", "groups"),
    [
        ("198.51.100.7", ["198.51.100.0/24", "198.51.0.0/16"]),
        ("2001:db8:1:2::/64", ["2001:db8:1::/48", "2001:db8::/32"]),
        ("", []),
        (":", []),
        ("1.2.3", []),
    ],
)
def test_an_address_shares_with_its_network_and_that_with_a_wider_one(counted: str, groups: list[str]) -> None:
    found = []
    while counted := wider(counted):
        found.append(counted)
    assert found == groups


@given(st.ip_addresses().map(str))
def test_every_address_has_two_wider_ones_that_hold_it(address: str) -> None:
    counted, groups = network(address), []
    while counted := wider(counted):
        groups.append(ip_network(counted))
    assert len(groups) == 2
    own = ip_address(network(address).partition("/")[0])
    assert all(own in group for group in groups)


async def test_behind_a_balancer_that_writes_forwarded_nobody_looks_at_the_other_header() -> None:
    async with running(proxies=("127.0.0.0/8",), forwarded="Forwarded") as rig:
        await rig.ask("GET", ONE, Forwarded="for=203.0.113.77, for=198.51.100.1", X_Forwarded_For="203.0.113.5")
        assert rig.projects.calls[-1].address == "198.51.100.1"


async def test_a_named_balancer_says_where_a_request_comes_from() -> None:
    async with running(proxies=("127.0.0.0/8",)) as rig:
        await rig.ask("GET", ONE, X_Forwarded_For="203.0.113.77, 198.51.100.1")
        assert rig.projects.calls[-1].address == "198.51.100.1"
        assert rig.lines()[-1]["address"] == "198.51.100.1"


async def test_the_header_means_nothing_when_it_comes_from_elsewhere(rig: Rig) -> None:
    await rig.ask("GET", ONE, X_Forwarded_For="198.51.100.1")
    assert rig.projects.calls[-1].address == "127.0.0.1"


async def test_behind_a_balancer_a_broken_request_is_answered_too() -> None:
    async with running(proxies=("127.0.0.0/8",)) as rig:
        (await rig.raw(b"GET /" + b"x" * 9000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n")).problem(414, "uri_too_long")
        (await rig.raw(b"nonsense\r\n\r\n")).problem(400, "malformed_request")
