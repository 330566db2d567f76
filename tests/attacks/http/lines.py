"""The request line: RFC 9112, sections 2 and 3; RFC 9110, section 9."""

from __future__ import annotations

from typing import Final

from tests.attacks.http.case import GET, Case, declined, last, refused, section, served


def line(start: bytes) -> bytes:
    """A request that begins so."""
    return start + b"\r\nHost: localhost\r\n\r\n"


CASES: Final = [
    *section(
        "9112-2.2",
        [
            refused("bare-lf-after-the-request-line", b"GET /healthz HTTP/1.1\nHost: localhost\r\n\r\n"),
            refused("bare-lf-everywhere", b"GET /healthz HTTP/1.1\nHost: localhost\n\n"),
            refused("bare-lf-after-a-header", b"GET /healthz HTTP/1.1\r\nHost: localhost\n\r\n"),
            refused("bare-lf-at-the-end", GET + b"\n"),
            refused("bare-cr-after-the-request-line", b"GET /healthz HTTP/1.1\rHost: localhost\r\n\r\n"),
            refused("bare-cr-at-the-end", GET + b"\rX"),
            refused("cr-cr-lf-after-the-request-line", b"GET /healthz HTTP/1.1\r\r\nHost: localhost\r\n\r\n"),
            refused("lf-cr-after-the-request-line", b"GET /healthz HTTP/1.1\n\rHost: localhost\r\n\r\n"),
            served("an-empty-line-before-the-request", b"\r\n" + GET + b"\r\n"),
            served("empty-lines-before-the-request", b"\r\n" * 8 + GET + b"\r\n"),
            refused("a-space-before-the-request", b" " + GET + b"\r\n"),
            refused("a-tab-before-the-request", b"\t" + GET + b"\r\n"),
            refused("a-nul-before-the-request", b"\0" + GET + b"\r\n"),
            refused("a-byte-order-mark-before-the-request", b"\xef\xbb\xbf" + GET + b"\r\n"),
            refused(
                "white-space-between-request-line-and-headers",
                b"GET /healthz HTTP/1.1\r\n Host: localhost\r\nHost: localhost\r\n\r\n",
            ),
            refused("a-folded-request-line", b"GET /healthz\r\n HTTP/1.1\r\nHost: localhost\r\n\r\n"),
            refused("utf-16", "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n".encode("utf-16")),
        ],
    ),
    *section(
        "9112-2.3",
        [
            refused("http-0.9", b"GET /healthz\r\n\r\n", 505, "http_version_not_supported"),
            refused("http-0.9-with-headers", line(b"GET /healthz"), 505, "http_version_not_supported"),
            refused("http-0.9-by-name", line(b"GET /healthz HTTP/0.9"), 505, "http_version_not_supported"),
            refused("http-1.2", line(b"GET /healthz HTTP/1.2")),
            refused("http-1.9", line(b"GET /healthz HTTP/1.9")),
            refused("http-2.0", line(b"GET /healthz HTTP/2.0"), 505, "http_version_not_supported"),
            refused("http-3.0", line(b"GET /healthz HTTP/3.0")),
            refused("two-digits", line(b"GET /healthz HTTP/1.10")),
            refused("a-leading-zero", line(b"GET /healthz HTTP/01.1")),
            refused("no-minor", line(b"GET /healthz HTTP/1")),
            refused("a-comma", line(b"GET /healthz HTTP/1,1")),
            refused("small-letters", line(b"GET /healthz http/1.1")),
            # The parser takes these for HTTP: nobody in front of us does, so there is nothing to be gained by it.
            last("another-protocol", line(b"GET /healthz RTSP/1.0"), ends=True),
            Case("icecast", line(b"SOURCE /healthz ICE/1.0"), 405, "method_not_allowed", stays=False, ends=True),
            refused("a-sign", line(b"GET /healthz HTTP/+1.1")),
            refused("letters", line(b"GET /healthz HTTP/1.x")),
            refused("a-space-inside", line(b"GET /healthz HTTP/ 1.1")),
            refused("a-slash-missing", line(b"GET /healthz HTTP1.1")),
            refused("arabic-digits", line("GET /healthz HTTP/١.١".encode())),
        ],
    ),
    *section(
        "9112-3",
        [
            served("several-spaces-after-the-method", line(b"GET   /healthz HTTP/1.1")),
            served("several-spaces-before-the-version", line(b"GET /healthz   HTTP/1.1")),
            refused("a-tab-after-the-method", line(b"GET\t/healthz HTTP/1.1")),
            refused("a-tab-before-the-version", line(b"GET /healthz\tHTTP/1.1")),
            refused("a-space-after-the-version", line(b"GET /healthz HTTP/1.1 ")),
            refused("a-word-after-the-version", line(b"GET /healthz HTTP/1.1 HTTP/1.1")),
            refused("vertical-tab-between", line(b"GET\x0b/healthz\x0bHTTP/1.1")),
            refused("form-feed-between", line(b"GET\x0c/healthz\x0cHTTP/1.1")),
            refused("a-nul-in-the-line", line(b"GET /heal\0thz HTTP/1.1")),
            refused("a-bare-cr-in-the-target", line(b"GET /healthz\r HTTP/1.1")),
            refused("no-target", line(b"GET HTTP/1.1")),
            refused("no-method", line(b" /healthz HTTP/1.1")),
            refused("no-line-at-all", b"Host: localhost\r\n\r\n"),
            refused("words", b"hello\r\n\r\n"),
            refused("tls", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(40)),
            refused("ssh", b"SSH-2.0-OpenSSH_9.6\r\n"),
            refused("smtp", b"EHLO example.org\r\n"),
            refused("proxy-protocol", b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n" + GET + b"\r\n"),
            refused("proxy-protocol-2", b"\r\n\r\n\x00\r\nQUIT\n!\x11\x00\x0c" + GET + b"\r\n"),
            refused("redis", b"*1\r\n$4\r\nPING\r\n"),
            refused("http-2-preface", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
        ],
    ),
    *section(
        "9110-9",
        [
            refused("an-unknown-method", line(b"FETCH /healthz HTTP/1.1")),
            refused("small-letters", line(b"get /healthz HTTP/1.1")),
            refused("mixed-letters", line(b"Get /healthz HTTP/1.1")),
            refused("a-prefix", line(b"GETX /healthz HTTP/1.1")),
            refused("half-a-method", line(b"GE /healthz HTTP/1.1")),
            refused("a-colon", line(b"GET: /healthz HTTP/1.1")),
            refused("a-nul", line(b"GE\0T /healthz HTTP/1.1")),
            refused("an-endless-method", line(b"A" * 20_000 + b" /healthz HTTP/1.1")),
            refused("letters-beyond-ascii", line("GËT /healthz HTTP/1.1".encode())),
            declined("trace", line(b"TRACE /healthz HTTP/1.1"), 405, "method_not_allowed"),
            declined("a-method-that-nothing-has", line(b"PROPFIND /healthz HTTP/1.1"), 405, "method_not_allowed"),
            declined("delete-where-there-is-none", line(b"DELETE /healthz HTTP/1.1"), 405, "method_not_allowed"),
            declined("options-without-cors", line(b"OPTIONS /healthz HTTP/1.1"), 405, "method_not_allowed"),
            declined(
                "an-override-changes-nothing",
                b"POST /healthz HTTP/1.1\r\nHost: localhost\r\nX-HTTP-Method-Override: GET\r\nContent-Length: 0\r\n\r\n",
                405,
                "method_not_allowed",
            ),
            refused("connect", line(b"CONNECT localhost:443 HTTP/1.1"), 501, "method_not_implemented"),
            refused("connect-to-a-path", line(b"CONNECT /healthz HTTP/1.1"), 405, "method_not_allowed"),
            refused(
                "connect-with-bytes-behind",
                line(b"CONNECT localhost:443 HTTP/1.1") + b"\x16\x03\x01",
                501,
                "method_not_implemented",
            ),
        ],
    ),
]
