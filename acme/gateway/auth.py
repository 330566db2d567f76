"""Who asks: Bearer token → principal, and whether its scope covers the matched method (RFC 6750).

Never a resource: that is decided by the service that owns it. On public methods a token is not looked at, so that a client
that sends its expired one along can still refresh it.
"""

from __future__ import annotations

import time
from typing import Final

from multidict import istr

from acme.context import Principal
from acme.errors import Denied, Refused, Unauthenticated
from acme.gateway.clients import Client
from acme.gateway.problems import Rejected
from acme.gateway.server import Headers
from acme.tokens import Verifier
from acme.traces import TOKEN, Trace

_AUTHORIZATION: Final = istr("Authorization")


class Uncovered(Denied):
    """The scope of a token is too small (403). `principal` is whose it is."""

    def __init__(self, permission: str, principal: Principal) -> None:
        super().__init__(f"The access token's scope does not cover {permission}.", reason="insufficient_scope")
        self.principal = principal


def bearer(headers: Headers) -> str:
    """The token of a request.

    Raises:
        Unauthenticated: there is none (401).
        Rejected: two Authorization headers (400).
    """
    given = headers.getall(_AUTHORIZATION, None)
    if given is not None:
        if len(given) > 1:
            raise Rejected(400, "malformed_request", "Send one Authorization header.")
        value = given[0]
        if value.startswith("Bearer ") or value[:7].lower() == "bearer ":
            token = value[7:].strip(" ")
            if token:
                return token
    raise Unauthenticated("Send an access token: Authorization: Bearer …", reason="token_missing")


def proof(headers: Headers, client: Client, now: float) -> str:
    """The token of a request on a connection whose client showed a certificate: its own, or else what that proves.

    Raises:
        Unauthenticated: there is neither (401), or the certificate has expired.
        Rejected: two Authorization headers (400).
    """
    return bearer(headers) if _AUTHORIZATION in headers else client.token(now) or bearer(headers)


def known(headers: Headers, client: Client | None, verifier: Verifier, at: float, now: float) -> bool:
    """Whether a request bears a token that was verified already; the times are those of `Verifier.known`."""
    try:
        token = bearer(headers) if client is None else proof(headers, client, now)
    except Refused:
        return False
    return verifier.known(token, at, now) is not None


async def authenticate(token: str, verifier: Verifier, permission: str, trace: Trace | None = None) -> Principal:
    """The principal of a token, whose scopes cover `permission`. That it was not known yet is a step of the `trace`.

    Raises:
        Unauthenticated: it proves nothing (401).
        Uncovered: the scope is too small (403, `insufficient_scope`).
        Unavailable: revocations are not known right now (503): never 401, for the client would throw its token away.
    """
    principal = verifier.cached(token) if verifier.fresh else None
    if principal is None:
        began = time.monotonic()
        principal = await verifier.verify(token)
        if trace is not None:
            trace.add(0, TOKEN, "", began, time.monotonic(), "", "")
    if not principal.covers(permission):
        raise Uncovered(permission, principal)
    return principal
