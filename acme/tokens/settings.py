"""`[tokens]` of the configuration, and the times that all verifiers share."""

from __future__ import annotations

from typing import Final

import msgspec

from acme.tokens.issuer_settings import NAME, IssuerSettings

POLL_EVERY: Final = 0.25
"""Seconds between two polls of the authority."""
POLL_TIMEOUT: Final = 0.2
"""Seconds an answer about changes, or keys, may take."""
PATIENCE: Final = 4 * POLL_TIMEOUT
"""Seconds a request waits for changes at most: for the poll that is on its way, and for some more of a busy authority."""
PAUSE: Final = 0.01
"""Seconds between two polls that somebody waits for, when the first failed."""
FRESH: Final = 1.0
"""Seconds after which the last successful poll is too old to trust."""
ASK_TIMEOUT: Final = 2.0
"""Seconds an answer about a subject, or a token, may take."""
ATTEMPTS: Final = 5
"""How often a question is asked whose answers are overtaken by changes."""


class TokenSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`[tokens]`: what issuer and verifiers of access tokens agree on."""

    issuer: str = "https://acme.localhost"
    """Claim `iss`. A name, not an address: it stays when the port or the host changes."""
    audience: str = "acme-api"
    """Claim `aud`."""
    longest_life: float = 900.0
    """Seconds. A token that lives longer is refused, and revocations are remembered for this long."""
    leeway: float = 5.0
    """Seconds by which the clocks of issuer and verifier may differ (`nbf` and `iat`; `exp` has none)."""
    cache: int = 50_000
    """Verified tokens kept, and subjects whose memberships are; the oldest goes when one more comes."""
    issuers: dict[str, IssuerSettings] = msgspec.field(default_factory=dict)
    """Others whose tokens are believed, by a name of ours that metrics and log lines have."""

    def __post_init__(self) -> None:
        names: dict[str, str] = {self.issuer: ""}
        for name, issuer in self.issuers.items():
            if NAME.fullmatch(name) is None:
                raise ValueError(f"issuers.{name}: a name is small letters, digits and dashes, up to 31 of them")
            if issuer.issuer in names:
                whose = names[issuer.issuer] and f"issuers.{names[issuer.issuer]}"
                raise ValueError(f"issuers.{name}: {whose or 'the platform itself'} has the same issuer")
            names[issuer.issuer] = name
