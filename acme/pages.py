"""Page tokens by AIP-158: opaque, bound to caller, method and query, and without any authority.

A token is the sealed position of the last row. It opens only for the principal, the method and the query it was made for;
what the page may show is decided again at every page.
"""

from __future__ import annotations

import base64
import binascii
from typing import Any, Final

import msgspec

from acme.context import current
from acme.errors import Malformed
from acme.ports import Cipher

DEFAULT_SIZE: Final = 50
MAX_SIZE: Final = 1000


def page_size(requested: int) -> int:
    """Rows to return: 50 when left out (0), at most 1,000. Negative sizes are refused by the contract's rules."""
    return min(requested, MAX_SIZE) or DEFAULT_SIZE


class Pages:
    """Makes and opens page tokens. A position is any JSON value; `query` is what else the list depends on."""

    def __init__(self, cipher: Cipher) -> None:
        self._cipher = cipher

    def seal(self, position: Any, *query: str) -> str:
        """The token of the page that begins after `position`."""
        sealed = self._cipher.seal("pages", msgspec.json.encode(position), _bound(query))
        return base64.urlsafe_b64encode(sealed).rstrip(b"=").decode()

    def open(self, token: str, *query: str) -> Any:
        """The position in a token; `None` for the empty token, which means the first page.

        Raises:
            Malformed: not a token of ours, altered, or made for another caller, method or query.
        """
        if not token:
            return None
        try:
            sealed = base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True)
            return msgspec.json.decode(self._cipher.open("pages", sealed, _bound(query)))
        except (ValueError, binascii.Error, msgspec.DecodeError) as error:
            message = "The page_token is not one of this list: send next_page_token of the page before, or none."
            raise Malformed(message, reason="invalid_page_token") from error


def _bound(query: tuple[str, ...]) -> bytes:
    call = current()
    return "\0".join((call.principal.kind, call.principal.id, call.method, *query)).encode()
