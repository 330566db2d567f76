"""A signed token in compact form (RFC 7515), read strictly: one way to write it, UTF-8, unique names, and nothing that a
header could steer. What it says is believed only after `verify`, with a key that somebody else chose.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from dataclasses import dataclass
from typing import Any, Final, NoReturn

from joserfc.jwk import ECKey, OKPKey, RSAKey
from joserfc.jws import JWSRegistry

from acme.errors import Unauthenticated
from acme.tokens.revocations import AGAIN

LARGEST: Final = 8192
"""Bytes of the longest token that is looked at."""
DEEPEST: Final = 32
"""Levels of the deepest object in one."""

PublicKey = ECKey | OKPKey | RSAKey

_SHAPE: Final = re.compile(r"([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)")
_OPENS: Final = re.compile(rb"[\[{]")


@dataclass(frozen=True, slots=True)
class Signed:
    """The parts of a token. Nothing of it is proved yet."""

    header: dict[str, Any]
    claims: dict[str, Any]
    content: bytes
    """What the signature is of."""
    signature: bytes


def parse(token: str) -> Signed:
    """The parts of a token; raises `Unauthenticated` (`invalid_token`) for what is none.

    Never accepted: other serialisations, padding, white space, alternative spellings of the same bytes (the bits that
    base64 leaves over), other encodings than UTF-8, duplicate names at any depth, NaN and Infinity.
    """
    if len(token) > LARGEST:
        refuse(f"The access token is longer than {LARGEST} bytes.")
    parts = _SHAPE.fullmatch(token)
    if parts is None:
        refuse("The access token is not a signed JWT in compact form.")
    content = token[: parts.end(2)].encode()
    signature = _bytes(parts[3])
    if signature is None:
        refuse("The access token's signature is not base64url as RFC 7515 has it.")
    return Signed(_object(parts[1], "header"), _object(parts[2], "body"), content, signature)


def verify(signed: Signed, key: PublicKey, algorithm: str) -> None:
    """Returns when the token was signed with this key by this algorithm, both chosen by whoever trusts the key: the
    token's own `alg` was compared with it before. Raises `Unauthenticated` (`invalid_token`)."""
    if not JWSRegistry.algorithms[algorithm].verify(signed.content, signed.signature, key):
        refuse(f"The access token's signature is wrong. {AGAIN}")


def refuse(message: str) -> NoReturn:
    """Refuses a token for good (401, `invalid_token`)."""
    raise Unauthenticated(message, reason="invalid_token")


def moment(claims: dict[str, Any], name: str) -> float:
    """A claim that is a time (NumericDate of RFC 7519), in seconds since the Unix epoch."""
    value = claims.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 1e11:
        refuse(f"The access token's claim {name} is not a time.")
    return float(value)


def text(claims: dict[str, Any], name: str) -> str:
    """A claim that is a string, and not empty."""
    value = claims.get(name)
    if not isinstance(value, str) or not value:
        refuse(f"The access token's claim {name} is not a string.")
    return value


def strict_object(content: bytes) -> dict[str, Any]:
    """JSON (RFC 8259) in UTF-8 that is an object with unique names, without NaN or Infinity.

    Raises:
        ValueError: it is something else.
    """
    if len(_OPENS.findall(content)) > DEEPEST and _depth(content) > DEEPEST:
        raise ValueError("too deep")
    value = json.loads(content.decode(), object_pairs_hook=_unique, parse_constant=_no_constant)
    if not isinstance(value, dict):
        raise ValueError("not an object")
    return value


def _depth(content: bytes) -> int:
    """Brackets that are open at most, those inside of strings counted as well: an upper bound."""
    deepest = depth = 0
    for byte in content:
        depth += (byte in b"[{") - (byte in b"]}")
        deepest = max(deepest, depth)
    return deepest


def _object(part: str, name: str) -> dict[str, Any]:
    content = _bytes(part)
    try:
        return strict_object(content or b"")
    except ValueError:
        refuse(f"The access token's {name} is not a JSON object with unique names.")


def _bytes(part: str) -> bytes | None:
    """What a part stands for; `None` where another spelling would stand for the same."""
    try:
        content = base64.b64decode(part + "=" * (-len(part) % 4), altchars=b"-_", validate=True)
    except binascii.Error:
        return None
    return content if base64.urlsafe_b64encode(content).rstrip(b"=").decode() == part else None


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) != len(pairs):
        raise ValueError("duplicate names")
    return made


def _no_constant(name: str) -> NoReturn:
    raise ValueError(name)
