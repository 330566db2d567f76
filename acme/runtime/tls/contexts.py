"""Contexts that outlive their certificates, and handshakes whose failure is told."""

from __future__ import annotations

import ssl
from typing import Any, Final

from acme.telemetry import logger

log: Final = logger(__name__)


class Renewing(ssl.SSLContext):
    """A context for a listener or a pool that lives longer than its certificates: each handshake uses `current`."""

    current: ssl.SSLContext

    def wrap_bio(self, *args: Any, **options: Any) -> ssl.SSLObject:
        """What asyncio's and uvloop's transports ask of a context, once a connection."""
        return self.current.wrap_bio(*args, **options)


class Heard(ssl.SSLObject):
    """A handshake whose failure somebody hears of."""

    def do_handshake(self) -> None:
        """As the base class does."""
        try:
            super().do_handshake()
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            raise
        except ssl.SSLError as error:
            self.refused(error)
            raise

    def refused(self, error: ssl.SSLError) -> None:
        """It failed."""
        raise NotImplementedError


class Told(Heard):
    """A handshake whose failure is logged: with TLS 1.3 the one who is refused learns hardly more than that."""

    def refused(self, error: ssl.SSLError) -> None:
        """Writes a line."""
        log.warning(
            "handshake refused", reason=reason(error), server=bool(self.server_side), peer=self.server_hostname or ""
        )


def reason(error: ssl.SSLError) -> str:
    """Why, in OpenSSL's words."""
    return str(getattr(error, "verify_message", "") or error.reason or error)
