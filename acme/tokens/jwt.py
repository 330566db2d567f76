"""The profile of a JWT access token: what is read of one, and all that can be wrong with it (see the package)."""

from __future__ import annotations

import base64
import binascii
import json
import re
from dataclasses import dataclass
from typing import Any, Final, NoReturn

from joserfc import jws
from joserfc.errors import JoseError

from acme.errors import Unauthenticated
from acme.tokens.keys import ALGORITHMS, Keys, Verifying
from acme.tokens.revocations import AGAIN
from acme.tokens.settings import TokenSettings

LARGEST: Final = 8192
"""Bytes of the longest token that is looked at."""

_HEADER: Final = frozenset({"alg", "typ", "kid"})
_SHAPE: Final = re.compile(r"([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)")
_NAME: Final = re.compile(r"[A-Za-z0-9_.-]{1,128}")
_REGISTRY: Final = jws.JWSRegistry(algorithms=sorted(ALGORITHMS))


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


async def read(token: str, keys: Keys, settings: TokenSettings, now: float) -> Claims:
    """Raises `Unauthenticated` (`invalid_token`, `token_expired`) for anything but a good token."""
    if len(token) > LARGEST:
        _refuse(f"The access token is longer than {LARGEST} bytes.")
    parts = _SHAPE.fullmatch(token)
    if parts is None:
        _refuse("The access token is not a signed JWT in compact form.")
    header = _object(parts[1], "header")
    if not header.keys() <= _HEADER:
        _refuse("The access token's header may hold alg, typ and kid, and nothing else.")
    if header.get("typ") != "at+jwt":
        _refuse('The token is not an access token: its header must say typ "at+jwt".')
    kid = header.get("kid")
    if not isinstance(kid, str) or not kid:
        _refuse("The access token names no key (kid).")
    key = await keys.find(kid)
    if key is None:
        unknown_key()
    # The algorithm comes from the key, never from the token: no "none", and no HMAC with a public key as secret.
    if header.get("alg") != key.algorithm:
        _refuse("The access token was not signed with its key's algorithm.")
    try:
        jws.deserialize_compact(token, key.key, [key.algorithm], _REGISTRY)
    except (JoseError, ValueError):
        _refuse(f"The access token's signature is wrong. {AGAIN}")
    return _claims(_object(parts[2], "body"), key, settings, now)


def unknown_key() -> NoReturn:
    """The token's key is not published, or not any more."""
    _refuse(f"The access token was signed with an unknown key. {AGAIN}")


def _claims(claims: dict[str, Any], key: Verifying, settings: TokenSettings, now: float) -> Claims:
    if claims.get("iss") != settings.issuer:
        _refuse("The access token is from another issuer.")
    audience = claims.get("aud")
    if audience != settings.audience and not (isinstance(audience, list) and settings.audience in audience):
        _refuse("The access token is for another audience.")
    exp, iat = _moment(claims, "exp"), _moment(claims, "iat")
    nbf = _moment(claims, "nbf")
    if exp <= now:
        raise Unauthenticated(f"The access token has expired. {AGAIN}", reason="token_expired")
    if nbf > now + settings.leeway or iat > now + settings.leeway:
        _refuse("The access token is not valid yet.")
    if iat < key.not_before - settings.leeway or now >= key.retired_at:
        _refuse(f"The access token's key is not in use any more. {AGAIN}")
    if exp - iat > settings.longest_life:
        _refuse("The access token lives longer than this platform allows.")
    epoch = claims.get("epoch", 0)
    if type(epoch) is not int:
        _refuse("The access token's claim epoch is not an integer.")
    subject, session = _text(claims, "sub"), _text(claims, "sid")
    if _NAME.fullmatch(subject) is None or _NAME.fullmatch(session) is None:
        _refuse("The access token's claims sub and sid have to be ids.")
    return Claims(
        key=key,
        subject=subject,
        session=session,
        scopes=frozenset(_text(claims, "scope").split(" ")),
        organization=_text(claims, "org"),
        region=_text(claims, "region"),
        epoch=epoch,
        ends=min(exp, key.retired_at),
        authenticated_at=_moment(claims, "auth_time"),
    )


def _refuse(message: str) -> NoReturn:
    raise Unauthenticated(message, reason="invalid_token")


def _object(part: str, name: str) -> dict[str, Any]:
    """A part of a token as a JSON object without duplicate names, NaN or Infinity, at any depth."""
    try:
        text = base64.b64decode(part + "=" * (-len(part) % 4), altchars=b"-_", validate=True)
        value = json.loads(text, object_pairs_hook=_unique, parse_constant=_no_constant)
    except (ValueError, binascii.Error, RecursionError):
        value = None
    if not isinstance(value, dict):
        _refuse(f"The access token's {name} is not a JSON object with unique names.")
    return value


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) != len(pairs):
        raise ValueError("duplicate names")
    return made


def _no_constant(name: str) -> NoReturn:
    raise ValueError(name)


def _moment(claims: dict[str, Any], name: str) -> float:
    value = claims.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 1e11:
        _refuse(f"The access token's claim {name} is not a time.")
    return float(value)


def _text(claims: dict[str, Any], name: str) -> str:
    value = claims.get(name)
    if not isinstance(value, str) or not value:
        _refuse(f"The access token's claim {name} is not a string.")
    return value
