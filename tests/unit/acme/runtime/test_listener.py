"""The port: the one asked for, or the next free one."""

from __future__ import annotations

import os
import socket

import pytest

from acme.runtime.databases import CannotStart
from acme.runtime.listener import adopt, listen, shared, url


def port_of(listener: socket.socket) -> int:
    port: int = listener.getsockname()[1]
    return port


def test_a_busy_port_means_the_next_free_one() -> None:
    with listen("127.0.0.1", 0) as busy, listen("127.0.0.1", port_of(busy)) as other:
        assert port_of(busy) < port_of(other) <= port_of(busy) + 100


def test_a_port_can_be_taken_again_after_its_connections_were_closed() -> None:
    with listen("127.0.0.1", 0) as first:
        port = port_of(first)
        first.setblocking(True)
        with socket.create_connection(("127.0.0.1", port)):
            first.accept()[0].close()  # our end closes first, and lingers in TIME_WAIT
    with listen("127.0.0.1", port) as again:
        assert port_of(again) == port


def test_several_share_a_port_that_nobody_else_has() -> None:
    sockets = shared("127.0.0.1", 0, 3)
    try:
        assert len({port_of(one) for one in sockets}) == 1
        for _ in range(40):
            socket.create_connection(("127.0.0.1", port_of(sockets[0]))).close()
        accepted = []
        for one in sockets:
            accepted.append(0)
            while True:
                try:
                    one.accept()[0].close()
                except BlockingIOError:
                    break
                accepted[-1] += 1
        assert sum(accepted) == 40
        assert min(accepted) > 0, "the kernel spreads them"
        other = shared("127.0.0.1", port_of(sockets[0]), 2)
        assert port_of(other[0]) > port_of(sockets[0]), "another platform takes another port, and no part of ours"
        for one in other:
            one.close()
    finally:
        for one in sockets:
            one.close()


def test_an_address_of_another_machine_is_refused() -> None:
    with pytest.raises(CannotStart, match=r"cannot listen on 192.0.2.1"):
        listen("192.0.2.1", 0)


def test_a_host_that_is_no_address_is_refused() -> None:
    with pytest.raises(CannotStart, match=r"no address of this machine"):
        listen("no such host", 0)


@pytest.mark.parametrize(("host", "origin"), [("127.0.0.1", "http://127.0.0.1:"), ("0.0.0.0", "http://127.0.0.1:")])  # noqa: S104  (a free port, for an instant)
def test_the_url_is_one_that_this_machine_reaches(host: str, origin: str) -> None:
    with listen(host, 0) as listener:
        assert url(listener) == f"{origin}{port_of(listener)}"


@pytest.mark.skipif(not socket.has_dualstack_ipv6(), reason="this machine has no IPv6")
@pytest.mark.parametrize("host", ["::1", "::"])
def test_an_ipv6_address_stands_in_brackets(host: str) -> None:
    with listen(host, 0) as listener:
        assert url(listener) == f"http://[::1]:{port_of(listener)}"


def test_a_socket_that_a_parent_opened_is_adopted_and_stays_the_parents() -> None:
    with listen("127.0.0.1", 0) as ours:
        with adopt(os.dup(ours.fileno())) as theirs:
            assert port_of(theirs) == port_of(ours)
            assert not theirs.getblocking()
            assert not os.get_inheritable(theirs.fileno())
        with socket.create_connection(("127.0.0.1", port_of(ours)), timeout=5):
            pass  # the child has gone, and connections wait


def test_a_port_that_others_have_to_know_is_that_one_or_none() -> None:
    with listen("127.0.0.1", 0) as busy, pytest.raises(CannotStart, match=rf"^\[here\]: port {port_of(busy)} of"):
        listen("127.0.0.1", port_of(busy), ports=1, setting="[here]")
