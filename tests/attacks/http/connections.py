"""Connections: RFC 9112, section 9; RFC 9110, sections 7.6, 7.8 and 10.1.1."""

from __future__ import annotations

from typing import Final

from tests.attacks.http.case import BODY, GET, ID, POST, TOKEN, Case, last, refused, section, served

OLD: Final = GET.replace(b"HTTP/1.1", b"HTTP/1.0")
MINE: Final = b"GET /v1/projects/" + ID + b" HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer " + TOKEN + b"\r\n"


def hop(name: str, value: bytes) -> Case:
    """A Connection that names what is not between two hops: nothing is taken away from the request."""
    return served(name, MINE + b"Connection: " + value + b"\r\n\r\n", runs=1)


CASES: Final = [
    *section(
        "9112-9.3",
        [
            served("nothing-said", GET + b"\r\n"),
            served("keep-alive", GET + b"Connection: keep-alive\r\n\r\n"),
            served("an-unknown-option", GET + b"Connection: xclose\r\n\r\n"),
            served("an-empty-option", GET + b"Connection:\r\n\r\n"),
            served("three-requests-at-once", (GET + b"\r\n") * 3, answers=3),
            served("twenty-requests-at-once", (GET + b"\r\n") * 20, answers=20),
            last("close", GET + b"Connection: close\r\n\r\n", ends=True),
            last("close-in-capitals", GET + b"Connection: CLOSE\r\n\r\n", ends=True),
            last("close-in-a-list", GET + b"Connection: keep-alive, close\r\n\r\n", ends=True),
            last("close-first-in-a-list", GET + b"Connection: close, keep-alive\r\n\r\n", ends=True),
            last("close-in-a-second-line", GET + b"Connection: keep-alive\r\nConnection: close\r\n\r\n", ends=True),
            last("http-1.0", OLD + b"\r\n", ends=True),
            served("http-1.0-kept-alive", OLD + b"Connection: keep-alive\r\n\r\n"),
            last("http-1.0-with-another-option", OLD + b"Connection: upgrade\r\n\r\n", ends=True),
        ],
    ),
    *section(
        "9110-7.6.1",
        [
            hop("authorization-named", b"Authorization"),
            hop("host-named", b"Host"),
            hop("the-address-named", b"X-Forwarded-For, X-Real-Ip, Forwarded"),
            hop("the-length-named", b"Content-Length"),
            hop("cookies-named", b"keep-alive, Cookie"),
            served("te", MINE + b"TE: trailers\r\nConnection: TE\r\n\r\n", runs=1),
            served("keep-alive-parameters", GET + b"Keep-Alive: timeout=1000000, max=0\r\n\r\n"),
        ],
    ),
    *section(
        "9110-7.8",
        [
            last("an-upgrade-to-websockets", GET + b"Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n"),
            last(
                "an-upgrade-with-all-that-websockets-need",
                GET + b"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
                b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
            ),
            last(
                "an-upgrade-to-http-2",
                GET
                + b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQCAAAAAAIAAAAA\r\n\r\n",
            ),
            last("an-upgrade-to-tls", GET + b"Connection: Upgrade\r\nUpgrade: TLS/1.2\r\n\r\n"),
            last("an-upgrade-that-connection-does-not-name", GET + b"Upgrade: h2c\r\n\r\n"),
            last(
                "an-upgrade-with-a-body",
                POST + b"Connection: Upgrade\r\nUpgrade: h2c\r\nContent-Length: 37\r\n\r\n" + BODY,
                201,
                runs=1,
            ),
            refused("an-upgrade-of-the-first-drafts", GET + b"Sec-WebSocket-Key1: x\r\n\r\n"),
        ],
    ),
    *section(
        "9110-10.1.1",
        [
            refused(
                "an-unknown-expectation",
                POST + b"Expect: x\r\nContent-Length: 37\r\n\r\n" + BODY,
                417,
                "expectation_failed",
            ),
            refused(
                "two-expectations",
                POST + b"Expect: 100-continue\r\nExpect: x\r\nContent-Length: 37\r\n\r\n" + BODY,
                417,
                "expectation_failed",
            ),
            refused(
                "a-list-of-expectations",
                POST + b"Expect: 100-continue, x\r\nContent-Length: 37\r\n\r\n" + BODY,
                417,
                "expectation_failed",
            ),
            refused("an-empty-expectation", GET + b"Expect:\r\n\r\n", 417, "expectation_failed"),
            served("an-expectation-without-a-body", GET + b"Expect: 100-continue\r\n\r\n"),
            served("an-expectation-in-capitals", GET + b"Expect: 100-CONTINUE\r\n\r\n"),
        ],
    ),
]
