"""The limiter over Redis: every gateway leases a slice of a key's allowance, and serves from it.

`take` never waits. The buckets of `acme.gcra` are in Redis, and each gateway keeps, for every key it is asked about, units
that are charged there already. One task leases more when half of them are gone, many keys in one round trip.

- A key that a gateway has no bucket for, or one that must be full again, begins with an *advance*: a slice that is charged
  right after, whether or not others have used it up meanwhile; what is too much is paid back before anybody leases again.
- A slice is `burst // (2·gateways)` units, at least 1, and at least what a single request costs. Gateways count each other
  in Redis, unless the number is configured.
- **How exact it is.** Between two moments at most `burst + rate·t` units are leased, and beyond that is admitted what was
  held at the first moment, and one advance that others did not leave room for: two slices a gateway. So at most
  `burst + rate·t + 2·slice·gateways` units are admitted, which is never more than the burst once again (or two units a
  gateway, where the burst has fewer). In the other direction, units that an idle gateway holds are missing elsewhere until
  the bucket is full, and somebody who is faster than a round trip to Redis may be refused with units left there.
- **Redis gone** (it does not answer in `timeout`, or refuses): each gateway keeps limits by itself, at its share: rate and
  burst divided by the gateways it knew last, or that are configured. The buckets of the share begin full, and so do those
  of a Redis that came back empty: each of the two costs up to one more burst, once.
"""

from __future__ import annotations

import asyncio
import os
import random
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, Final
from weakref import WeakValueDictionary

from acme.drivers.buckets import Buckets, Wider, checked_name
from acme.drivers.memory import MemoryMeter, Share
from acme.drivers.redis import FIRST_LOOK, LOOK_EVERY, Address, Link
from acme.errors import Unavailable
from acme.gcra import Limit
from acme.tasks import Tasks
from acme.telemetry import Metrics, logger

log: Final = logger(__name__)

COUNT_EVERY: Final = 1.0
"""Seconds between two counts of the gateways."""
FORGET_AFTER: Final = 5.0
"""Seconds after which a gateway that was not heard of is not counted any more."""
BATCH: Final = 256
"""Keys in one round trip."""
PAUSE: Final = 1_000_000
"""Nanoseconds that somebody who was faster than Redis is told to wait, at least."""

_LEASE: Final = b"""
local t = redis.call('TIME')
local now = t[1] * 1000000 + t[2]
local out = {}
for i, key in ipairs(KEYS) do
  local interval, tolerance = tonumber(ARGV[4 * i - 3]), tonumber(ARGV[4 * i - 2])
  local owed, want = tonumber(ARGV[4 * i - 1]), tonumber(ARGV[4 * i])
  local tat = math.max(tonumber(redis.call('GET', key) or '0'), now) + owed * interval
  local room = math.floor((now + tolerance - tat) / interval)
  local granted = math.max(0, math.min(want, room))
  tat = math.ceil(tat + granted * interval)
  if tat > now then
    redis.call('SET', key, string.format('%.0f', tat), 'PX', string.format('%.0f', math.ceil((tat - now) / 1000)))
  end
  out[2 * i - 1], out[2 * i] = granted, tat - now
end
return out
"""
"""`admit` of acme/gcra.py, for many keys and units, in microseconds: first what is owed, in any case, then what there is
room for. Returns what was granted, and how far the bucket is ahead."""

_COUNT: Final = b"""
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
redis.call('ZADD', KEYS[1], now, ARGV[1])
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now - tonumber(ARGV[2]))
redis.call('PEXPIRE', KEYS[1], ARGV[2])
return redis.call('ZCARD', KEYS[1])
"""
_GATEWAYS: Final = b"acme:limit::gateways"


def open_limiter(
    url: str, *, tasks: Tasks, metrics: Metrics, timeout: float = 0.25, gateways: int = 0, **_others: Any
) -> RedisLimiter:
    """A limiter that `gateways` processes share; 0: they count each other. Nothing is connected yet.

    Raises:
        ValueError: the URL has options that are not known.
    """
    return RedisLimiter(Link("limiter", Address(url), 2, timeout, tasks, metrics), tasks, metrics, gateways)


class Lease:
    """What a gateway knows and holds of one bucket. Times are of the monotonic clock, in nanoseconds."""

    __slots__ = ("asked", "full", "held", "more", "owed", "want")

    def __init__(self) -> None:
        self.held = 0
        """Units to serve from, charged or about to be."""
        self.owed = 0
        """Units of them that Redis has not heard of."""
        self.full = 0
        """When the bucket in Redis is full, if nobody else takes from it."""
        self.more = 0
        """When it has a unit at the soonest."""
        self.want = 0
        """Units that somebody who was refused would need at once."""
        self.asked = False
        """Whether it is on the way to Redis."""


def _done(lease: Lease, now: int) -> bool:
    return lease.full <= now and not lease.asked


def _full(lease: Lease) -> int:
    return lease.full


class RedisLimiter:
    """`ports.Limiter` whose buckets all gateways share."""

    def __init__(self, link: Link, tasks: Tasks, metrics: Metrics, gateways: int) -> None:
        self._link, self._configured = link, gateways
        self._id = os.urandom(8)
        self._meters: WeakValueDictionary[tuple[str, Limit], LeasedMeter] = WeakValueDictionary()
        """As long as anybody takes from them."""
        self._waiting: list[tuple[LeasedMeter, str, Lease]] = []
        self._news = asyncio.Event()
        self._count_at = 0.0
        self._since, self._wait = 0.0, FIRST_LOOK
        self.together = True
        """Whether Redis keeps the buckets; else each gateway keeps its share."""
        self.gateways = gateways or 1
        """How many share the limits, as far as this one knows."""
        metrics.gauge(
            "acme_limiter_up",
            "Whether limits are kept by all who share them: 1 or 0.",
            (),
            lambda: {(): float(self.together)},
        )
        metrics.gauge("acme_limiter_gateways", "Gateways that share limits.", (), lambda: {(): float(self.gateways)})
        leases = metrics.counter("acme_limiter_leases_total", "Leases of allowance by result.", ("result",))
        self._granted, self._refused = leases.bind("granted"), leases.bind("refused")
        self._task = tasks.loop("limiter.lease", self._tend, pause=0.0)

    def meter(self, name: str, limit: Limit, *, keys: int = 100_000, wider: Wider | None = None) -> LeasedMeter:
        # Of another limit there are other buckets in Redis.
        made = self._meters.get((checked_name(name), limit))
        if made is None:
            made = self._meters[name, limit] = LeasedMeter(self, name, limit, keys, wider)
        else:
            made.resize(keys)
        return made

    @property
    def state(self) -> str:
        if self.together:
            return "ok"
        return (
            f"Redis is gone for {time.monotonic() - self._since:.0f} s: this gateway keeps limits by itself, at 1/"
            f"{self.gateways} of each"
        )

    async def close(self) -> None:
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        with suppress(Unavailable):
            await self._link.run((b"ZREM", _GATEWAYS, self._id))
        await self._link.close()

    def ask(self, meter: LeasedMeter, key: str, lease: Lease) -> None:
        """Has units leased, soon."""
        lease.asked = True
        self._waiting.append((meter, key, lease))
        self._news.set()

    async def _tend(self) -> None:
        """Waits until there is something to do, and does it."""
        if self.together:
            with suppress(TimeoutError):
                async with asyncio.timeout(max(0.0, self._count_at - time.monotonic())):
                    await self._news.wait()
            self._news.clear()
        else:
            await asyncio.sleep(self._wait * random.uniform(0.5, 1.0))
            self._wait = min(self._wait * 2, LOOK_EVERY)
        try:
            if not self.together or time.monotonic() >= self._count_at:
                await self._count()
            if self._waiting:
                batch, self._waiting = self._waiting[:BATCH], self._waiting[BATCH:]
                await self._lease(batch)
                if self._waiting:
                    self._news.set()
        except Unavailable:
            if self.together:
                log.warning("limits are kept by each gateway for itself", gateways=self.gateways)
                self.together, self._since, self._wait = False, time.monotonic(), FIRST_LOOK
            self._waiting.clear()
        else:
            if not self.together:
                log.info("limits are shared again", after=round(time.monotonic() - self._since, 3))
                for meter in self._meters.values():
                    meter.forget()
                self.together = True

    async def _count(self) -> None:
        forget = int(FORGET_AFTER * 1000)
        (found,) = await self._link.run((b"EVAL", _COUNT, 1, _GATEWAYS, self._id, forget))
        self._count_at = time.monotonic() + COUNT_EVERY
        gateways = self._configured or int(found)
        if gateways != self.gateways:
            self.gateways = gateways
            for meter in self._meters.values():
                meter.divide()

    async def _lease(self, batch: Sequence[tuple[LeasedMeter, str, Lease]]) -> None:
        keys: list[bytes | int] = []
        arguments: list[bytes | int] = []
        owed: list[int] = []
        for meter, key, lease in batch:
            keys.append(meter.name(key))
            owed.append(lease.owed)
            arguments += meter.asks(lease)
        (replies,) = await self._link.run((b"EVAL", _LEASE, len(keys), *keys, *arguments))
        now = time.monotonic_ns()
        for (meter, _, lease), sent, granted, ahead in zip(batch, owed, replies[::2], replies[1::2], strict=True):
            lease.owed -= sent
            lease.held += granted
            lease.full = now + ahead * 1000
            lease.more = now + max(0, ahead * 1000 + meter.limit.interval - meter.limit.tolerance)
            lease.asked = False
            (self._granted if granted else self._refused).add()


class LeasedMeter:
    """`ports.Meter` that serves from leases; from a share of the limit while Redis is gone."""

    __slots__ = ("__weakref__", "_alone", "_by_key", "_leases", "_limiter", "_prefix", "_slice", "limit")

    def __init__(self, limiter: RedisLimiter, name: str, limit: Limit, keys: int, wider: Wider | None = None) -> None:
        self._limiter, self.limit = limiter, limit
        # Processes with different settings, as during a change of them, do not charge each other's buckets.
        self._prefix = f"acme:limit:{name}:{limit.interval}:{limit.burst}:".encode()
        self._leases = Buckets[Lease]((keys + 1) // 2, _done, wider)  # a lease takes twice as much as a number
        self._by_key = self._leases.by_key
        alone = Buckets[int](keys, int.__le__, wider)
        self._alone = Share(MemoryMeter(time.monotonic, limit, keys, alone), 1)
        self._slice = 1
        self.divide()

    def take(self, key: str, _now: float | None = None, units: int = 1, /) -> int:
        limiter, limit = self._limiter, self.limit
        if not limiter.together:
            return self._alone.take(key, None, units)
        now = time.monotonic_ns()
        lease = self._by_key.get(key)
        if lease is None:
            key = self._leases.place(key, now)
            lease = self._by_key.get(key) or self._begin(key, now)
        if units > 1:
            units = min(units, limit.burst)
        if lease.full <= now and not lease.asked:
            lease.held = lease.owed = advance = max(self._slice, units)
            lease.full, lease.more = now + advance * limit.interval, now
            limiter.ask(self, key, lease)
        if lease.held >= units:
            lease.held -= units
            lease.want = 0
            if lease.held * 2 < self._slice and not lease.asked and lease.more <= now:
                limiter.ask(self, key, lease)
            held = lease.held * limit.interval
            return max(held, min(limit.tolerance, now + limit.tolerance - lease.full + held))
        lease.want = max(lease.want, units)
        if not lease.asked and lease.more <= now:
            limiter.ask(self, key, lease)
        wait = lease.more - now
        if wait > 0:
            wait += (units - lease.held - 1) * limit.interval
        return -max(PAUSE, wait)

    def shares(self, key: str) -> bool:
        return key not in self._by_key if self._limiter.together else self._alone.shares(key)

    def _begin(self, key: str, now: int) -> Lease:
        """A lease of a key that is asked for for the first time, as far ahead as the wider ones are: Redis is told so."""
        lease = self._by_key[key] = Lease()
        wide = max(self._leases.over(key), key=_full, default=None)
        if wide is not None and wide.full > now:
            lease.full, lease.more = wide.full, max(now, wide.more)
            lease.owed = -((now - wide.full) // self.limit.interval)
            self._limiter.ask(self, key, lease)
        return lease

    def name(self, key: str) -> bytes:
        """The bucket's in Redis."""
        return self._prefix + key.encode("utf-8", "surrogatepass")

    def asks(self, lease: Lease) -> tuple[bytes | int, ...]:
        """What the script has to know."""
        limit = self.limit
        want = max(0, max(self._slice, lease.want) - lease.held)
        return b"%.3f" % (limit.interval / 1000), b"%.3f" % (limit.tolerance / 1000), lease.owed, want

    def resize(self, keys: int) -> None:
        """From now on there is room for so many."""
        self._leases.resize((keys + 1) // 2)

    def divide(self) -> None:
        """The number of gateways is another."""
        gateways = self._limiter.gateways
        self._slice = max(1, self.limit.burst // (2 * gateways))
        self._alone.divide(gateways)

    def forget(self) -> None:
        """Redis was gone, and nobody knows what of the leases stands there."""
        self._leases.clear()
