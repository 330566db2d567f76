"""Host: RFC 9112, section 3.2; RFC 9110, section 7.2."""

from __future__ import annotations

from typing import Final

from tests.attacks.http.case import Case, last, refused, section, served


def host(name: str, value: bytes) -> Case:
    """A Host that is none."""
    return refused(name, b"GET /healthz HTTP/1.1\r\nHost: " + value + b"\r\n\r\n", 400, "malformed_host")


def good(name: str, value: bytes) -> Case:
    """A Host that is one."""
    return served(name, b"GET /healthz HTTP/1.1\r\nHost:" + value + b"\r\n\r\n")


CASES: Final = section(
    "9112-3.2-host",
    [
        refused("none", b"GET /healthz HTTP/1.1\r\n\r\n"),
        refused("none-with-absolute-form", b"GET http://localhost/healthz HTTP/1.1\r\n\r\n"),
        refused("two", b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nHost: elsewhere\r\n\r\n"),
        refused("two-alike", b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nHost: localhost\r\n\r\n"),
        refused("two-in-other-letters", b"GET /healthz HTTP/1.1\r\nHOST: localhost\r\nhost: localhost\r\n\r\n"),
        refused("two-of-http-1.0", b"GET /healthz HTTP/1.0\r\nHost: a\r\nHost: b\r\n\r\n"),
        refused("one-and-an-alias", b"GET /healthz HTTP/1.1\r\nHost: a\r\nHost : b\r\n\r\n"),
        last("none-of-http-1.0", b"GET /healthz HTTP/1.0\r\n\r\n", ends=True),
        good("without-a-blank", b"localhost"),
        good("with-blanks", b" \t localhost \t "),
        good("an-address", b" 127.0.0.1:8080"),
        good("an-address-of-ipv6", b" [::1]:8080"),
        good("in-capitals", b" LOCALHOST"),
        good("with-a-dot-at-the-end", b" localhost."),
        host("empty", b""),
        host("blanks", b"  "),
        host("a-list", b"localhost, elsewhere"),
        host("a-blank-inside", b"localhost elsewhere"),
        host("a-tab-inside", b"localhost\telsewhere"),
        host("a-user", b"user@localhost"),
        host("a-path", b"localhost/x"),
        host("a-scheme", b"http://localhost"),
        host("a-query", b"localhost?x"),
        host("a-fragment", b"localhost#x"),
        host("a-port-of-letters", b"localhost:http"),
        host("a-port-beyond-65535", b"localhost:65536"),
        host("a-negative-port", b"localhost:-1"),
        host("two-ports", b"localhost:80:80"),
        host("a-port-alone", b":80"),
        host("half-a-bracket", b"[::1"),
        host("ipv6-without-brackets", b"::1"),
        host("a-zone", b"[fe80::1%25eth0]"),
        host("a-backslash", b"localhost\\elsewhere"),
        host("a-quote", b'"localhost"'),
        host("markup", b"<script>alert(1)</script>"),
        host("a-percent-escape", b"local%68ost"),
        host("letters-beyond-ascii", "exämple".encode()),
        host("bytes-that-are-no-utf-8", b"\xff\xfe"),
        host("a-semicolon", b"localhost;x"),
        refused("a-nul", b"GET /healthz HTTP/1.1\r\nHost: local\0host\r\n\r\n"),
        refused("folded", b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n elsewhere\r\n\r\n"),
        refused("folded-at-once", b"GET /healthz HTTP/1.1\r\nHost:\r\n localhost\r\n\r\n"),
    ],
)
