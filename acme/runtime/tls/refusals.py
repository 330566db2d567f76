"""Handshakes that the gateway refuses: counted by reason, and told now and then, since anybody can bring them about."""

from __future__ import annotations

import ssl
import time
from collections.abc import Callable
from typing import Final

from acme.runtime.tls.contexts import Heard, reason
from acme.telemetry import Metrics, logger

log: Final = logger(__name__)

REASONS: Final = 40
"""Reasons that are counted one by one; those beyond are "other"."""
QUIET: Final = 1.0
"""Seconds between two lines of the log."""


class Refusals:
    """What became of handshakes that failed."""

    def __init__(self, metrics: Metrics, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._counts = metrics.counter(
            "acme_gateway_tls_refused_total", "TLS handshakes that failed, by OpenSSL's reason.", ("reason",)
        )
        self._reasons: set[str] = set()
        self._again, self._untold = float("-inf"), 0

    def add(self, error: ssl.SSLError) -> None:
        """One more."""
        label = error.reason or "other"
        if label not in self._reasons:
            if len(self._reasons) >= REASONS:
                label = "other"
            self._reasons.add(label)
        self._counts.bind(label).add()
        now = self._clock()
        if now < self._again:
            self._untold += 1
            return
        log.warning("handshake refused", reason=reason(error), more=self._untold)
        self._again, self._untold = now + QUIET, 0


class Listened(ssl.SSLContext):
    """A context whose handshakes are heard of."""

    refusals: Refusals | None = None


class Counted(Heard):
    """A handshake of the gateway's."""

    def refused(self, error: ssl.SSLError) -> None:
        """Adds it to those of its context."""
        context = self.context
        if isinstance(context, Listened) and context.refusals is not None:
            context.refusals.add(error)
