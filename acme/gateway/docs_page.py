"""`/docs`: a page to read and try the API in a browser.

What it shows is /v1/openapi.json. Page, style and scripts are files of this package (`docs/`), and a browser that keeps to
the headers below loads nothing from anywhere else, runs nothing that is written in an answer, and shows it in no frame.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import Final

from acme.gateway.server import header_lines

_KINDS: Final = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; base-uri 'none';"
    " form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'"
)
HEADERS: Final = header_lines(
    {
        "Content-Security-Policy": _POLICY,
        "Cross-Origin-Opener-Policy": "same-origin",
        "Cross-Origin-Resource-Policy": "same-origin",
        "Referrer-Policy": "no-referrer",
        "X-Frame-Options": "DENY",
    }
)
"""Header lines of each of its answers, beside those of every answer, such as nosniff."""

PATHS: Final[Mapping[str, str]] = {
    "/docs": "page.html",
    **{f"/docs/{name}": name for name in ("page.css", "page.js", "dom.js", "schema.js", "trial.js", "icon.svg")},
}
"""File by path."""


@cache
def page(path: str) -> tuple[int, str, bytes]:
    """Status, content type and body of one of `PATHS`. Read once."""
    file = files("acme.gateway") / "docs" / PATHS[path]
    return 200, _KINDS[file.name[file.name.rindex(".") :]], file.read_bytes()
