"""Addresses of other processes."""

from __future__ import annotations

import pytest

from acme.dispatch.address import Address, parse, parse_one


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("grpc://projects:50051", Address("grpc", "projects", 50051)),
        ("grpcs://projects.acme.svc:443", Address("grpcs", "projects.acme.svc", 443)),
        ("grpc://[::1]:0", Address("grpc", "::1", 0)),
        ("grpc+unix:///run/acme/p.sock", Address("grpc+unix", path="/run/acme/p.sock")),
        ("grpc+unix:///run/with%20blank/p.sock", Address("grpc+unix", path="/run/with blank/p.sock")),
    ],
)
def test_an_address_is_read_and_written(text: str, address: Address) -> None:
    assert parse_one(text) == address
    assert str(address) == text
    assert address.tls == text.startswith("grpcs:")


@pytest.mark.parametrize(
    "text",
    ["", "projects:50051", "http://projects:50051", "grpc://projects", "grpc://:50051", "grpc://projects:port",
     "grpc://projects:99999", "grpc://me@projects:50051", "grpc://projects:1/path", "grpc://projects:1?a=b",
     "grpc+unix://host/p.sock", "grpc+unix:p.sock", "grpc+unix:///" + "p" * 120],
)  # fmt: skip
def test_what_is_no_address_is_told(text: str) -> None:
    with pytest.raises(ValueError, match=r"grpc|socket"):
        parse_one(text)


def test_several_are_separated_by_commas_and_each_counts_once() -> None:
    assert parse("grpc://a:1, grpc://b:2,grpc://a:1") == (Address("grpc", "a", 1), Address("grpc", "b", 2))
    with pytest.raises(ValueError, match="no address"):
        parse("grpc://a:1,")
