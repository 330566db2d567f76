"""Access tokens: the keys that sign them, and the claims.

Keys are ES256 (RFC 7518), made here, kept in the database with the private half sealed, and shared by all replicas. A key
is published before it is used: verifiers learn of it at least `LEAD` ahead, so no token meets a verifier that does not
know its key. The very first one has nobody to wait for. `rotate` makes a successor every `LIFE`, and an operator whenever it
likes (`commands.py`); the predecessor signs until the successor's time has come, stays published while a token of it can be
alive, and is deleted after.

The profile of a token is described in `acme/tokens`, which verifies it.
"""

from __future__ import annotations

import json
import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from joserfc import jwt
from joserfc.jwk import ECKey

from acme import Cipher, Clock, Conflict, TokenProfile, audit, work
from acme_users.store import AuthorityStore, Identity, Session, SigningKey

LONGEST_LIFE: Final = timedelta(seconds=900)
"""The longest an access token may live, whatever the settings say."""
SPAN: Final = LONGEST_LIFE + timedelta(minutes=1)
"""For so long after a revocation or a key's last signature somebody may still show a token it concerns."""
LEAD: Final = timedelta(minutes=5)
LIFE: Final = timedelta(days=30)
SHORTEST_LEAD: Final = timedelta(seconds=10)
"""The least that an operator may choose: twice `RELOAD`, and ten times what a verifier takes that believes anything."""
RELOAD: Final = timedelta(seconds=5)
"""How old the keys in memory may be: less than `LEAD`, so that a successor is known in time everywhere. It is also how long
a process may go on signing with a key that was withdrawn."""

_ALGORITHM: Final = "ES256"
_PURPOSE: Final = "signing-keys"


@dataclass(frozen=True, slots=True)
class _Signer:
    kid: str
    not_before: datetime
    key: ECKey


class SigningKeys:
    """The key set, for the services that sign and for the job that rotates."""

    def __init__(self, store: AuthorityStore, clock: Clock, cipher: Cipher) -> None:
        self._store, self._clock, self._cipher = store, clock, cipher
        self._signers: list[_Signer] = []
        self._version = 0
        """Of those."""
        self._loaded: datetime | None = None

    async def rotate(self) -> None:
        """Makes the first key, or a successor when the youngest is old enough, and deletes those that are done.

        Safe in several processes at a time: one works, the others find nothing left to do.
        """
        async with work():
            await self._store.lock_keys()
            now = self._clock.now().replace(microsecond=0)  # tokens count whole seconds
            keys = (await self._store.keys()).keys
            if not keys:
                await self._add(not_before=now)
            elif keys[-1].not_before <= now - LIFE:
                await self._add(not_before=now + LEAD)
            await self._store.delete_keys(retired_before=now)
        self._loaded = None

    async def succeed(self, lead: timedelta, *, operator: str) -> SigningKey:
        """Makes a successor now, published at once, that signs in `lead` (`SHORTEST_LEAD` or more). Nobody notices.

        Raises:
            Conflict: a successor is waiting for its time (`successor_waiting`).
        """
        async with work():
            await self._store.lock_keys()
            now = self._clock.now().replace(microsecond=0)
            keys = (await self._store.keys()).keys
            if keys and keys[-1].not_before > now:
                begins = f"{keys[-1].not_before:%Y-%m-%d %H:%M:%S} UTC"
                message = (
                    f"There is a successor: {keys[-1].kid} signs from {begins} on. Wait for it, or withdraw all keys."
                )
                raise Conflict(message, reason="successor_waiting")
            made = await self._add(not_before=now + lead, operator=operator)
        self._loaded = None
        return made

    async def withdraw(self, *, operator: str) -> SigningKey:
        """Deletes every key, because somebody has got one: all access tokens are dead within a second, sessions are not. One
        that is new signs at once, elsewhere after `RELOAD` at most."""
        async with work():
            await self._store.lock_keys()
            gone = [key.kid for key in (await self._store.keys()).keys]
            await self._store.withdraw_keys()
            audit.add("users.signing_keys.withdraw", changes=[f"kid {kid}" for kid in gone], operator=operator)
            made = await self._add(not_before=self._clock.now().replace(microsecond=0), operator=operator)
        self._loaded = None
        return made

    async def signer(self) -> tuple[str, ECKey]:
        """The key that signs now, and its kid."""
        now = self._clock.now()
        if self._loaded is None or abs(now - self._loaded) > RELOAD:
            found = await self._store.keys()
            if found.version != self._version or not self._signers:
                self._signers, self._version = [self._opened(key) for key in found.keys], found.version
            self._loaded = now
        # Before the first key's time (a clock was set back) the first one signs.
        current = max((signer for signer in self._signers if signer.not_before <= now), key=_age, default=None)
        signer = current or self._signers[0]
        return signer.kid, signer.key

    async def _add(self, *, not_before: datetime, operator: str = "") -> SigningKey:
        key = ECKey.generate_key("P-256", private=True)
        kid = key.thumbprint()
        private = self._cipher.seal(_PURPOSE, json.dumps(key.as_dict(private=True)).encode(), kid.encode())
        public = json.dumps({**key.as_dict(private=False), "kid": kid, "alg": _ALGORITHM, "use": "sig"})
        fresh = SigningKey(kid, _ALGORITHM, public, private, not_before, None)
        await self._store.add_key(fresh, predecessor_retired_at=not_before + SPAN)
        audit.add("users.signing_keys.rotate", changes=[f"kid {kid}"], operator=operator)
        return fresh

    def _opened(self, key: SigningKey) -> _Signer:
        private = json.loads(self._cipher.open(_PURPOSE, key.private_jwk, key.kid.encode()))
        return _Signer(key.kid, key.not_before, ECKey.import_key(private))


class AccessTokens:
    """Issues access tokens by RFC 9068."""

    def __init__(self, keys: SigningKeys, clock: Clock, profile: TokenProfile, life: timedelta) -> None:
        self._keys, self._clock, self._profile = keys, clock, profile
        self.life: Final = life

    async def issue(self, identity: Identity, session: Session) -> str:
        """A token for the holder of the session."""
        kid, key = await self._keys.signer()
        now = int(self._clock.time())
        claims = {
            "iss": self._profile.issuer,
            "aud": self._profile.audience,
            "sub": session.user_id,
            "client_id": "acme",
            "iat": now,
            "nbf": now,
            "exp": now + int(self.life.total_seconds()),
            "jti": secrets.token_urlsafe(16),
            "sid": session.id,
            "auth_time": int(session.authenticated_at.timestamp()),
            "scope": "*",
            "org": identity.organization_id,
            "region": identity.region,
            "epoch": identity.epoch,
        }
        return jwt.encode({"alg": _ALGORITHM, "typ": "at+jwt", "kid": kid}, claims, key)


def _age(signer: _Signer) -> datetime:
    return signer.not_before
