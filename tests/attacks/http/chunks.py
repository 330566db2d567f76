"""Chunks: RFC 9112, section 7. Sizes, extensions, line ends, and what comes after the last."""

from __future__ import annotations

from typing import Final

from tests.attacks.http.case import BODY, GET, POST, Case, last, refused, section, served

CODED: Final = POST + b"Transfer-Encoding: chunked\r\n\r\n"
END: Final = b"\r\n0\r\n\r\n"


def chunked(name: str, body: bytes) -> Case:
    """A body that is none."""
    return refused(name, CODED + body)


def size(name: str, text: bytes) -> Case:
    """A chunk's size that is none."""
    return chunked(name, text + b"\r\n" + BODY + END)


def good(name: str, body: bytes) -> Case:
    """A body that is one, and says where it ends."""
    return served(name, CODED + body, 201, runs=1)


def closed(name: str, body: bytes) -> Case:
    """A body that is one, of which the end cannot be told from the next request for sure."""
    return last(name, CODED + body, 201, runs=1)


CASES: Final = [
    *section(
        "9112-7.1",
        [
            good("a-chunk", b"25\r\n" + BODY + END),
            good("many-chunks", b"".join(b"1\r\n%c\r\n" % byte for byte in BODY) + b"0\r\n\r\n"),
            good("capitals", b"0A\r\n" + BODY[:10] + b"\r\n1B\r\n" + BODY[10:] + END),
            good("small-letters", b"a\r\n" + BODY[:10] + b"\r\n1b\r\n" + BODY[10:] + END),
            good("zeros-first", b"0000000000000000000000025\r\n" + BODY + END),
            closed("several-zeros-last", b"25\r\n" + BODY + b"\r\n000\r\n\r\n"),
            size("hexadecimal-with-a-prefix", b"0x25"),
            size("a-plus", b"+25"),
            size("a-minus", b"-25"),
            size("an-underscore", b"2_5"),
            size("a-space-before", b" 25"),
            size("a-space-after", b"25 "),
            size("a-tab-after", b"25\t"),
            size("a-space-inside", b"2 5"),
            size("none", b""),
            size("a-comma", b"25,"),
            size("a-dot", b"25.0"),
            size("letters-beyond-f", b"2g"),
            size("arabic-digits", "٢٥".encode()),
            size("2-to-the-64-and-more", b"10000000000000025"),
            size("30-digits", b"f" * 30),
            size("a-nul", b"25\0"),
            size("quotes", b'"25"'),
            size("a-vertical-tab-before", b"\x0b25"),
            chunked("a-bare-lf-after-the-size", b"25\n" + BODY + END),
            chunked("a-bare-cr-after-the-size", b"25\r" + BODY + END),
            chunked("cr-cr-lf-after-the-size", b"25\r\r\n" + BODY + END),
            chunked("a-bare-lf-after-the-data", b"25\r\n" + BODY + b"\n0\r\n\r\n"),
            chunked("a-bare-cr-after-the-data", b"25\r\n" + BODY + b"\r0\r\n\r\n"),
            chunked("nothing-after-the-data", b"25\r\n" + BODY + b"0\r\n\r\n"),
            chunked("two-bytes-after-the-data", b"25\r\n" + BODY + b"XX0\r\n\r\n"),
            chunked("a-chunk-longer-than-it-says", b"24\r\n" + BODY + END),
            chunked("a-bare-lf-at-the-end", b"25\r\n" + BODY + b"\r\n0\r\n\n"),
            chunked("a-bare-lf-after-the-last-size", b"25\r\n" + BODY + b"\r\n0\n\r\n"),
            chunked("a-minus-zero-at-the-end", b"25\r\n" + BODY + b"\r\n-0\r\n\r\n"),
            chunked("an-empty-line-before-the-size", b"\r\n25\r\n" + BODY + END),
            chunked("json-for-chunks", BODY),
        ],
    ),
    *section(
        "9112-7.1.1",
        [
            good("an-extension", b"25;a=b\r\n" + BODY + END),
            good("an-extension-without-a-value", b"25;a\r\n" + BODY + END),
            good("two-extensions", b"25;a=b;c=d\r\n" + BODY + END),
            good("an-extension-in-quotes", b'25;a="b;c"\r\n' + BODY + END),
            closed("an-extension-of-the-last-chunk", b"25\r\n" + BODY + b"\r\n0;a=b\r\n\r\n"),
            good("a-long-extension", b"25;a=" + b"b" * 5000 + b"\r\n" + BODY + END),
            chunked("an-extension-without-a-name", b"25;\r\n" + BODY + END),
            good("an-extension-that-is-only-a-value", b"25;=b\r\n" + BODY + END),
            chunked("a-space-before-an-extension", b"25 ;a\r\n" + BODY + END),
            chunked("a-space-in-an-extension", b"25;a b\r\n" + BODY + END),
            chunked("a-bare-lf-in-an-extension", b"25;a\n" + BODY + END),
            chunked("a-bare-lf-and-more-in-an-extension", b"25;a\nb\r\n" + BODY + END),
            chunked("a-bare-cr-in-an-extension", b"25;a\rb\r\n" + BODY + END),
            chunked("a-bare-lf-in-quotes", b'25;a="\n"\r\n' + BODY + END),
            chunked("a-nul-in-an-extension", b"25;a=\0\r\n" + BODY + END),
            chunked("quotes-that-do-not-end", b'25;a="b\r\n' + BODY + END),
            chunked("a-control-in-an-extension", b"25;a=\x01\r\n" + BODY + END),
        ],
    ),
    *section(
        "9112-7.1.2",
        [
            closed("a-trailer", b"25\r\n" + BODY + b"\r\n0\r\nX-A: b\r\n\r\n"),
            closed("several-trailers", b"25\r\n" + BODY + b"\r\n0\r\nX-A: b\r\nX-C: d\r\n\r\n"),
            closed("a-token-in-a-trailer", b"25\r\n" + BODY + b"\r\n0\r\nAuthorization: Bearer {token}\r\n\r\n"),
            closed("an-address-in-a-trailer", b"25\r\n" + BODY + b"\r\n0\r\nX-Forwarded-For: 192.0.2.1\r\n\r\n"),
            closed("a-trailer-like-the-last-chunk", b"25\r\n" + BODY + b"\r\n0\r\nX-A: \r\nX-B:0\r\n\r\n"),
            closed("an-alias-in-a-trailer", b"25\r\n" + BODY + b"\r\n0\r\nX_A: b\r\n\r\n"),
            chunked("a-length-in-a-trailer", b"25\r\n" + BODY + b"\r\n0\r\nContent-Length: 5\r\n\r\n"),
            chunked("a-coding-in-a-trailer", b"25\r\n" + BODY + b"\r\n0\r\nTransfer-Encoding: chunked\r\n\r\n"),
            chunked("a-trailer-without-a-colon", b"25\r\n" + BODY + b"\r\n0\r\nX-A\r\n\r\n"),
            chunked("a-trailer-with-a-bare-lf", b"25\r\n" + BODY + b"\r\n0\r\nX-A: b\n\r\n"),
            chunked("a-folded-trailer", b"25\r\n" + BODY + b"\r\n0\r\nX-A: b\r\n c\r\n\r\n"),
            chunked("a-nul-in-a-trailer", b"25\r\n" + BODY + b"\r\n0\r\nX-A: b\0\r\n\r\n"),
            chunked("a-trailer-without-a-name", b"25\r\n" + BODY + b"\r\n0\r\n: b\r\n\r\n"),
            chunked("a-blank-before-the-colon-of-a-trailer", b"25\r\n" + BODY + b"\r\n0\r\nX-A : b\r\n\r\n"),
            refused(
                "a-trailer-beyond-8190-bytes",
                CODED + b"25\r\n" + BODY + b"\r\n0\r\nX-A: " + b"a" * 8200 + b"\r\n\r\n",
                431,
                "header_too_large",
            ),
            chunked(
                "more-trailers-than-headers-may-be",
                b"25\r\n" + BODY + b"\r\n0\r\n" + b"".join(b"X-%d: a\r\n" % n for n in range(200)) + b"\r\n",
            ),
            last("a-trailer-where-nothing-is-read", GET + b"Transfer-Encoding: chunked\r\n\r\n0\r\nX-A: b\r\n\r\n"),
        ],
    ),
]
