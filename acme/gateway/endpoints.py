"""The endpoints that no contract describes: what operators, scrapers and other verifiers read."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

import msgspec

from acme.gateway import docs_page
from acme.gateway.server import JSON
from acme.telemetry import Histogram, Metrics
from acme.tokens import Verifier

Answer = tuple[int, str, bytes]
"""Status, content type, body."""
Answered = tuple[int, str, bytes, bytes]
"""The same, and header lines."""

WELL_ENOUGH: Final = frozenset({"ok", "quarantined", "unreachable", "contract differs", "not served"})
"""Health of a plugin that takes nobody else out of service: one that failed to load, or is elsewhere and cannot be called
there, answers 503 wherever the request goes. Any other state, such as "starting", is a reason to wait."""


@dataclass(frozen=True, slots=True)
class Info:
    """What the gateway says of itself."""

    title: str = "Acme Platform"
    version: str = "0.1.0"


class Fixed:
    """An endpoint of the gateway itself, beside the routes of contracts in the same trie. Public; takes no input."""

    __slots__ = ("answer", "lines", "series")

    def __init__(self, answer: Callable[[], Answer], lines: bytes = b"") -> None:
        """`lines` are headers beyond the constant ones."""
        self.answer, self.lines = answer, lines
        self.series: tuple[dict[int, Histogram], dict[int, Histogram]] = {}, {}
        """Durations by status, over HTTP and over HTTPS; the gateway fills it."""


def alive(version: str) -> Callable[[], Answer]:
    """The answer of a process that can answer at all."""
    body = msgspec.json.encode({"status": "ok", "version": version})
    return lambda: (200, JSON, body)


class Readiness:
    """Whether this process should get requests, and if not, why not.

    `hosts` are the plugins that it is there for; one of them has to be ok. A gateway is there for whatever can be called.
    """

    def __init__(
        self,
        verifier: Verifier,
        health: Callable[[], Mapping[str, str]],
        stores: Callable[[], Mapping[str, str]] = dict,
        hosts: Collection[str] = (),
    ) -> None:
        self._verifier, self._health, self._stores, self._hosts = verifier, health, stores, hosts
        self.started = False
        self.draining = False

    def checks(self) -> dict[str, Any]:
        """`ready`, and each check with "ok" or what is wrong. Requests are served without the stores, so they are shown
        and decide nothing."""
        plugins = dict(self._health())
        checks = {
            "started": "ok" if self.started else "starting",
            "draining": "draining" if self.draining else "ok",
            "tokens": "ok" if self._verifier.fresh else "revocations are not known",
        }
        ready = all(state == "ok" for state in checks.values())
        ready = ready and all(state in WELL_ENOUGH for state in plugins.values())
        ready = ready and (not self._hosts or any(plugins.get(name) == "ok" for name in self._hosts))
        return {"ready": ready, "checks": checks, "plugins": plugins, "stores": dict(self._stores())}

    def answer(self) -> Answer:
        """200 or 503."""
        checks = self.checks()
        return 200 if checks["ready"] else 503, JSON, msgspec.json.encode(checks)


def endpoints(
    name: str,
    version: str,
    readiness: Readiness,
    metrics: Metrics,
    verifier: Verifier,
    openapi: Callable[[], bytes],
    *,
    docs: bool,
) -> Mapping[str, Fixed]:
    """All of them, by path; with `docs` the page that shows the OpenAPI document too."""
    index = msgspec.json.encode(
        {
            "service": name,
            "version": version,
            "links": {
                **({"docs": "/docs"} if docs else {}),
                "openapi": "/v1/openapi.json",
                "health": "/healthz",
                "readiness": "/readyz",
                "metrics": "/metrics",
                "keys": "/.well-known/jwks.json",
            },
        }
    )
    return {
        "/": Fixed(lambda: (200, JSON, index)),
        "/healthz": Fixed(alive(version)),
        "/readyz": Fixed(readiness.answer),
        "/metrics": Fixed(lambda: (200, metrics.CONTENT_TYPE, metrics.render())),
        "/v1/openapi.json": Fixed(lambda: (200, "application/vnd.oai.openapi+json;version=3.1", openapi())),
        "/.well-known/jwks.json": Fixed(
            lambda: (200, "application/jwk-set+json", msgspec.json.encode(verifier.jwks()))
        ),
        **({path: Fixed(partial(docs_page.page, path), docs_page.HEADERS) for path in docs_page.PATHS} if docs else {}),
    }
