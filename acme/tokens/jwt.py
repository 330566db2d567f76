"""The profile of a JWT access token of our own: what is read of one, and all that can be wrong with it (see the package)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Final, NoReturn

from acme.errors import Unauthenticated
from acme.tokens.jws import Signed, moment, refuse, text, verify
from acme.tokens.keys import Keys, Verifying
from acme.tokens.revocations import AGAIN
from acme.tokens.settings import TokenSettings

_HEADER: Final = frozenset({"alg", "typ", "kid"})
_NAME: Final = re.compile(r"[A-Za-z0-9_.-]{1,128}")


@dataclass(frozen=True, slots=True)
class Claims:
    """What a token says that was signed by `key` and is not expired. Times are in seconds since the Unix epoch."""

    key: Verifying
    subject: str
    session: str
    scopes: frozenset[str]
    organization: str
    region: str
    epoch: int
    ends: float
    authenticated_at: float


async def read(signed: Signed, keys: Keys, settings: TokenSettings, now: float) -> Claims:
    """Raises `Unauthenticated` (`invalid_token`, `token_expired`) for anything but a good token."""
    header = signed.header
    if not header.keys() <= _HEADER:
        refuse("The access token's header may hold alg, typ and kid, and nothing else.")
    if header.get("typ") != "at+jwt":
        refuse('The token is not an access token: its header must say typ "at+jwt".')
    kid = header.get("kid")
    if not isinstance(kid, str) or not kid:
        refuse("The access token names no key (kid).")
    key = await keys.find(kid)
    if key is None:
        unknown_key()
    # The algorithm comes from the key, never from the token: no "none", and no HMAC with a public key as secret.
    if header.get("alg") != key.algorithm:
        refuse("The access token was not signed with its key's algorithm.")
    verify(signed, key.key, key.algorithm)
    return _claims(signed.claims, key, settings, now)


def unknown_key() -> NoReturn:
    """The token's key is not published, or not any more."""
    refuse(f"The access token was signed with an unknown key. {AGAIN}")


def _claims(claims: dict[str, Any], key: Verifying, settings: TokenSettings, now: float) -> Claims:
    if claims.get("iss") != settings.issuer:
        refuse("The access token is from another issuer.")
    audience = claims.get("aud")
    if audience != settings.audience and not (isinstance(audience, list) and settings.audience in audience):
        refuse("The access token is for another audience.")
    exp, iat = moment(claims, "exp"), moment(claims, "iat")
    nbf = moment(claims, "nbf")
    if exp <= now:
        raise Unauthenticated(f"The access token has expired. {AGAIN}", reason="token_expired")
    if nbf > now + settings.leeway or iat > now + settings.leeway:
        refuse("The access token is not valid yet.")
    if iat < key.not_before - settings.leeway or now >= key.retired_at:
        refuse(f"The access token's key is not in use any more. {AGAIN}")
    if exp - iat > settings.longest_life:
        refuse("The access token lives longer than this platform allows.")
    epoch = claims.get("epoch", 0)
    if type(epoch) is not int:
        refuse("The access token's claim epoch is not an integer.")
    subject, session = text(claims, "sub"), text(claims, "sid")
    if _NAME.fullmatch(subject) is None or _NAME.fullmatch(session) is None:
        refuse("The access token's claims sub and sid have to be ids.")
    return Claims(
        key=key,
        subject=subject,
        session=session,
        scopes=frozenset(text(claims, "scope").split(" ")),
        organization=text(claims, "org"),
        region=text(claims, "region"),
        epoch=epoch,
        ends=min(exp, key.retired_at),
        authenticated_at=moment(claims, "auth_time"),
    )
