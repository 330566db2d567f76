"""The keys of another issuer, which lie behind a URL.

They are looked at every `refresh` seconds, so that a new key is known before the first token that it signed comes, and a key
that was withdrawn is not believed for long. A token that names a key that is not known causes a look of its own: one for all
who wait, one every `refetch` seconds at most, and none for a name that was looked for in vain a moment ago. While the issuer
does not answer, what it said last is believed for `stale` seconds.

Nobody is told that a token is bad while its issuer does not answer: who cannot be judged gets 503, not 401, for a client
would throw its token away. An issuer that has answered in the last `refetch` seconds is taken at its word: who makes up one
name after the other gets 401, as for any other token that proves nothing, and cannot turn our answers into faults of ours.
Nothing is remembered of such a name. So an honest token whose key was published in these very seconds, after somebody else's
look, is taken `refetch` seconds after that at the latest, with the look that its next use causes.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable
from typing import Final

from acme.errors import Unavailable
from acme.ports import Fetcher
from acme.telemetry import CounterFamily, logger
from acme.tokens.issuer_settings import IssuerSettings, check_url, host_of
from acme.tokens.jwks import LONGEST_KID, Trusted, read_keys
from acme.tokens.jws import strict_object

log: Final = logger(__name__)

LARGEST: Final = 262_144
"""Bytes of a document."""
UNKNOWN_FOR: Final = 30.0
"""Seconds for which a name that no key has is not looked for again."""
UNKNOWN: Final = 1000
"""Such names remembered; the oldest goes when one more comes."""
WAITING: Final = 256
"""Requests that wait for keys; one more is told to come again."""
_AGAIN: Final = 1.0
"""Seconds after which a failed look is repeated; twice as many each time."""
_SELDOM: Final = 60.0
"""Seconds between two of those at most."""


class RemoteKeys:
    """Of one issuer. `withdrawn` is called when a key is gone, or another one by its name: whoever was verified with it has
    to be verified again. `elapsed` is a clock that nobody sets, in seconds."""

    def __init__(
        self,
        name: str,
        settings: IssuerSettings,
        fetcher: Fetcher,
        withdrawn: Callable[[], None],
        fetches: CounterFamily,
        elapsed: Callable[[], float] = time.monotonic,
    ) -> None:
        self.name, self.settings = name, settings
        self._fetcher, self._withdrawn, self._elapsed = fetcher, withdrawn, elapsed
        self._good, self._bad = fetches.bind(name, "ok"), fetches.bind(name, "failed")
        self._keys: dict[str, Trusted] = {}
        self._jwks_url = ""
        """As its metadata said."""
        self.fetched = float("-inf")
        """When the last look that succeeded began; likewise the last that a token caused, whatever came of it."""
        self._refetched = self._due = float("-inf")
        self._begun = self._succeeded = 0
        """How many looks have begun, but for those that were cancelled; and which was the last that succeeded."""
        self._failures = 0
        self._unknown: dict[str, float] = {}
        """Name → until when not to look for it, in the order of arrival."""
        self._looking = asyncio.Lock()
        self._waiting = 0

    def __len__(self) -> int:
        return len(self._keys)

    @property
    def patience(self) -> float:
        """Seconds for which the keys are believed from now on; none are after that."""
        return self.fetched + self.settings.stale - self._elapsed()

    @property
    def state(self) -> str:
        """The word "ok", or what is wrong and what that means, for people."""
        if not self._failures:
            return "ok"
        left = self.patience
        believed = f"its keys are believed for {left:.0f} s more" if left >= 0 else "its tokens cannot be checked"
        return f"the keys could not be read, {self._failures} times in a row: {believed}"

    @property
    def due(self) -> bool:
        """Whether it is time for the next look."""
        return self._elapsed() >= self._due

    def configure(self, settings: IssuerSettings) -> None:
        """From now on these; where its keys are, or which may be used, is looked at again."""
        before, self.settings = self.settings, settings
        if before == settings:
            return
        self._due = float("-inf")
        places = ("issuer", "discovery", "jwks_url", "hosts", "algorithms")
        if any(getattr(before, each) != getattr(settings, each) for each in places):
            self._keys, self._jwks_url, self._unknown, self.fetched = {}, "", {}, float("-inf")

    async def find(self, kid: str) -> Trusted | None:
        """The key of this name; `None` when the issuer was asked, now or less than `refetch` seconds ago, and has none.

        Raises:
            Unavailable: it does not answer, or too many wait for it to (`tokens_unavailable`).
        """
        if self.patience >= 0:
            known = self._keys.get(kid)
            if known is not None or self._unknown.get(kid, 0.0) > self._elapsed() or len(kid) > LONGEST_KID:
                return known
        begun = self._begun
        lately = await self._look_for(kid, begun)
        if self.patience < 0:
            raise _unavailable()
        known = self._keys.get(kid)
        if known is None and self._succeeded > begun:
            self._remember(kid)
        elif known is None and not lately:
            raise _unavailable()
        return known

    def holds(self, key: Trusted) -> bool:
        """Whether this very key is still published."""
        known = self._keys.get(key.kid)
        return known is not None and known.material == key.material

    async def refresh(self) -> None:
        """Looks at the keys now, and at where they are; what goes wrong is logged, and the next look comes soon."""
        begun = self._begun
        async with self._looking:
            if self._begun == begun:
                await self._look(self.settings.jwks_url)

    async def _look_for(self, kid: str, begun: int) -> bool:
        """A look for the sake of a token that came when so many had begun: of all who come before the next, one looks.
        True: there is none to be had so soon, and the last one has succeeded."""
        if self._waiting >= WAITING:
            raise _unavailable()
        self._waiting += 1
        try:
            async with self._looking:
                if self._begun > begun or (kid in self._keys and self.patience >= 0):
                    return False  # somebody else looked meanwhile: for this one too, or with success
                left = self._refetched + self.settings.refetch - self._elapsed()
                if left > 0:
                    if self._failures or self.fetched < self._refetched:
                        raise _unavailable(left)
                    return True
                before, self._refetched, blind = self._refetched, self._elapsed(), self.patience < 0
                try:
                    await self._look(self.settings.jwks_url or self._jwks_url)
                except asyncio.CancelledError:
                    self._refetched = before
                    raise
                if blind and self.patience >= 0:
                    self._refetched = before  # that look was for everybody, and is not the turn of an unknown key
                return False
        finally:
            self._waiting -= 1

    async def _look(self, url: str) -> None:
        """At the keys; `url` is "" where the issuer has to be asked for it."""
        settings, started = self.settings, self._elapsed()
        self._begun += 1
        try:
            url = url or await self._discover(settings)
            keys = read_keys(await self._fetch(url, settings), settings.algorithms)
        except (Unavailable, ValueError) as error:
            self._failed(str(error), settings)
            return
        except asyncio.CancelledError:
            self._begun -= 1  # those who wait for it look themselves
            raise
        if settings is not self.settings:
            return  # it is another's place by now, and the next look is due
        self._good.add()
        self._failures, self._due = 0, self._elapsed() + settings.refresh * random.uniform(0.8, 1.0)
        gone = [kid for kid, known in self._keys.items() if kid not in keys or keys[kid].material != known.material]
        if gone or keys.keys() != self._keys.keys():
            log.info("an issuer has other keys", issuer=self.name, keys=len(keys), gone=len(gone))
        self._keys, self.fetched, self._succeeded = keys, started, self._begun
        if gone:
            self._withdrawn()

    async def _discover(self, settings: IssuerSettings) -> str:
        """The URL of the keys, as the issuer's metadata has it.

        Raises:
            Unavailable, ValueError: there is none, or none that may be believed.
        """
        found = strict_object(await self._fetch(settings.metadata_url, settings))
        if found.get("issuer") != settings.issuer:
            raise ValueError("its metadata are another issuer's")
        url = found.get("jwks_uri")
        if not isinstance(url, str):
            raise ValueError("its metadata do not say where its keys are")
        check_url(url)
        if not settings.allows(url):
            raise ValueError(f"its keys are on a host that is not in its hosts: {host_of(url)}")
        self._jwks_url = url
        return url

    async def _fetch(self, url: str, settings: IssuerSettings) -> bytes:
        return await self._fetcher.fetch(url, timeout=settings.timeout, most=LARGEST)

    def _failed(self, why: str, settings: IssuerSettings) -> None:
        self._bad.add()
        self._failures += 1
        pause = min(_AGAIN * 2 ** min(self._failures - 1, 10), _SELDOM, settings.refresh)
        self._due = self._elapsed() + pause * random.uniform(0.5, 1.0)
        left = max(0.0, self.patience)
        log.warning("the keys of an issuer could not be read", issuer=self.name, why=why, believed_for=round(left))

    def _remember(self, kid: str) -> None:
        now = self._elapsed()
        while self._unknown:
            oldest, until = next(iter(self._unknown.items()))
            if until > now and len(self._unknown) < UNKNOWN:
                break
            del self._unknown[oldest]
        self._unknown[kid] = now + UNKNOWN_FOR


def _unavailable(retry_after: float = 1.0) -> Unavailable:
    message = "Access tokens of this issuer cannot be checked right now: try again."
    return Unavailable(message, reason="tokens_unavailable", retry_after=retry_after)
