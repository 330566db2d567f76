"""E-mail addresses: one form to send to, one to compare by.

The domain is compared in its ASCII form (IDNA 2008), so that `straße.de` and `strasse.de` stay two domains and
`STRASSE.de` is one with `strasse.de`. The local part is compared without regard to case: RFC 5321 section 2.4 lets a
domain tell `Anna` from `anna`, none in use does, and people type both; two accounts for one mailbox would only leave its
owner puzzled. Nothing else is folded (no dots, no `+tag`): which spellings share a mailbox is the domain's affair. Mail
goes to the address as it was typed, because a domain could care.
"""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from typing import Self

from email_validator import EmailNotValidError, validate_email


@dataclass(frozen=True, slots=True)
class Address:
    """An e-mail address by RFC 5321 and RFC 6531."""

    text: str
    """As it was typed, in NFC, with the domain in lower case."""
    key: str
    """Equal for two spellings of one address."""

    @classmethod
    def parse(cls, text: str) -> Self:
        """Raises `ValueError` for what is not an address. Looks nothing up in the DNS."""
        try:
            # Names for tests (RFC 6761) are addresses too: whether mail gets there is the mail's affair.
            parts = validate_email(text, check_deliverability=False, test_environment=True)
        except EmailNotValidError as error:
            raise ValueError("not an e-mail address") from error
        local = unicodedata.normalize("NFC", parts.local_part.lower())
        return cls(parts.normalized, f"{local}@{parts.ascii_domain}")
