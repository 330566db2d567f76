"""`redis://` and `rediss://` (TLS): a cache and a broadcast on Redis 7, or what speaks its protocol. redis-py's only home.

    redis://[user:password@]host:6379/0        rediss://…/0?ssl_ca_certs=/path/ca.pem&ssl_certfile=…&ssl_keyfile=…

Of redis-py we use the connection: address, TLS, log-in, the protocol. Its client repeats commands by itself, and an
INCRBY sent twice counts twice; its pool can lose a connection's place to a cancellation.

What happens when Redis is away is one thing, `Link`: the first command that fails marks it as gone, from then on commands
fail at once instead of each waiting for its timeout, and one task looks whether it is back, first after 50 ms and at least
once a second. It looks when all is well too, so that readiness and metrics know of a failure before a request does.

Broadcast is Redis' publish/subscribe: one connection a process, for all topics, whose silence is tested with PING. When it
breaks, listeners hear `LOST` as soon as the new one stands.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any, Final, cast
from urllib.parse import parse_qs, urlsplit

from redis.asyncio.connection import AbstractConnection, Connection, parse_url
from redis.exceptions import AuthenticationError, AuthorizationError, BusyLoadingError, RedisError, ResponseError

from acme.drivers.operations import Operations
from acme.drivers.spaces import Spaces, no_counter
from acme.drivers.subscriptions import Subscription, Topics, checked_message, checked_topic
from acme.errors import Unavailable
from acme.tasks import Tasks
from acme.telemetry import Metrics, logger

log: Final = logger(__name__)

LOOK_EVERY: Final = 1.0
"""Seconds between two looks at a Redis that is well, and the most between two at one that is gone."""
FIRST_LOOK: Final = 0.05
"""Seconds until the first look after a failure; doubled each time."""
_OPTIONS: Final = frozenset(
    {"db", "ssl_ca_certs", "ssl_ca_path", "ssl_certfile", "ssl_keyfile", "ssl_password", "ssl_check_hostname"}
)


def open_cache(
    url: str, *, tasks: Tasks, metrics: Metrics, connections: int = 16, timeout: float = 0.25, **_others: Any
) -> Spaces:
    """A cache over at most `connections`; an operation, waiting for a connection included, takes `timeout` seconds.

    Nothing is connected yet. `tasks` looks after the connection, and must end before the cache is closed or with it.

    Raises:
        ValueError: the URL has options that are not known.
    """
    return Spaces(RedisStore(Link("cache", Address(url), connections, timeout, tasks, metrics)), metrics)


def open_broadcast(
    url: str, *, tasks: Tasks, metrics: Metrics, timeout: float = 0.25, **_others: Any
) -> RedisBroadcast:
    """A broadcast over one connection to listen and up to two to speak. Otherwise as `open_cache`."""
    address = Address(url)
    return RedisBroadcast(address, Link("broadcast", address, 2, timeout, tasks, metrics), timeout, tasks, metrics)


class Address:
    """Where Redis is, and how to log in."""

    def __init__(self, url: str) -> None:
        unknown = set(parse_qs(urlsplit(url).query, keep_blank_values=True)) - _OPTIONS
        if unknown:
            known = ", ".join(sorted(_OPTIONS))
            raise ValueError(f"unknown in the URL of Redis: {', '.join(sorted(unknown))}; there are {known}")
        self._given: dict[str, Any] = dict(parse_url(url))
        self._kind: type[AbstractConnection] = self._given.pop("connection_class", Connection)
        self.database = int(self._given.get("db", 0))

    def connection(self, timeout: float) -> AbstractConnection:
        """A connection that is not open yet. To open it takes `timeout` seconds; the rest is the user's to limit.

        It repeats nothing. Protocol 2 needs no round trip before the log-in, and replies to PING while subscribed.
        """
        return self._kind(
            **self._given, socket_timeout=None, socket_connect_timeout=timeout, protocol=2, driver_info=None
        )


class Link:
    """A bounded pool of connections, lent last in first out to waiters first in first out, and the state of Redis."""

    def __init__(self, name: str, address: Address, size: int, timeout: float, tasks: Tasks, metrics: Metrics) -> None:
        """`name` is that of the port, for logs and metrics."""
        self._name, self._address, self._timeout = name, address, timeout
        self._slots = asyncio.Semaphore(size)
        self._idle: list[AbstractConnection] = []
        self._trouble = ""
        self._since = 0.0
        self._failed = asyncio.Event()
        self._wait = FIRST_LOOK
        self._refused = ""
        self._losses = metrics.counter(f"acme_{name}_losses_total", "Times that Redis was found to be gone.").bind()
        self._durations = Operations(metrics, "redis", str(address.database))
        self._task = tasks.loop(f"{name}.link", self._look, pause=0.0)

    @property
    def state(self) -> str:
        """The word "ok", or what is wrong and since when."""
        return f"{self._trouble} for {time.monotonic() - self._since:.0f} s" if self._trouble else "ok"

    async def run(self, *commands: tuple[bytes | int, ...]) -> list[Any]:
        """Sends `commands` in one piece, and returns the replies.

        An error inside the reply to EXEC is an item of that reply.

        Raises:
            Unavailable: reason `<port>_unavailable`, it was not done; reason "outcome_unknown", it may have been.
        """
        if self._trouble:
            raise self._unavailable()
        return await self._attempt(commands)

    async def _attempt(self, commands: tuple[tuple[bytes | int, ...], ...]) -> list[Any]:
        waiting, sent, started = True, False, time.monotonic()
        try:
            async with asyncio.timeout(self._timeout), self._slots:
                waiting = False
                connection = await self._connected()
                try:
                    sent = True
                    await connection.send_packed_command(connection.pack_commands(commands))
                    replies = [await connection.read_response() for _ in commands]
                except BaseException:
                    # It may still get the replies to these commands: nobody else may read them.
                    await connection.disconnect(nowait=True)
                    raise
                self._idle.append(connection)
            self._measure(commands, started)
            return replies
        except (AuthenticationError, AuthorizationError) as error:
            self._measure(commands, started, error)
            self._gone("it refuses the log-in", error)
            raise self._unavailable() from error
        except ResponseError as error:
            self._measure(commands, started, error)
            raise self._refusal(error) from error
        except (RedisError, OSError, TimeoutError) as error:
            self._measure(commands, started, error)
            if not waiting:  # else the pool is too small for what we ask of it, and Redis is not to blame
                self._gone("it is starting" if isinstance(error, BusyLoadingError) else "it does not answer", error)
            raise self._unavailable(sent) from error

    def _measure(
        self, commands: tuple[tuple[bytes | int, ...], ...], started: float, error: Exception | None = None
    ) -> None:
        """Commands that are sent in one piece are one operation, by the name of the first: all names are ours."""
        name = cast(bytes, commands[0][0]).decode()
        ended = type(error).__name__ if error is not None else ""
        self._durations.bind(name, ended).observe(time.monotonic() - started)

    async def close(self) -> None:
        """Ends the look-out and closes what is idle."""
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        self._trouble = "closed"
        await self._drop_idle()

    async def _connected(self) -> AbstractConnection:
        """A connection that was open the last time anybody looked; a new one when there is none."""
        while self._idle:
            connection = self._idle.pop()
            with suppress(OSError, RedisError):
                if not await connection.can_read():  # data that nobody asked for, or the end of the stream
                    return connection
            await connection.disconnect(nowait=True)
        connection = self._address.connection(self._timeout)
        try:
            await connection.connect()  # type: ignore[no-untyped-call]  # redis-py forgot it
        except BaseException:
            await connection.disconnect(nowait=True)
            raise
        return connection

    async def _drop_idle(self) -> None:
        idle, self._idle = self._idle, []
        for connection in idle:
            await connection.disconnect(nowait=True)

    def _gone(self, trouble: str, error: BaseException) -> None:
        if not self._trouble:
            self._since, self._wait = time.monotonic(), FIRST_LOOK
            self._losses.add()
            log.warning("redis is gone", port=self._name, trouble=trouble, error=type(error).__name__)
        self._trouble = trouble
        self._failed.set()

    async def _look(self) -> None:
        """Waits for its time, and looks whether Redis answers."""
        if self._trouble:
            await self._drop_idle()
            await asyncio.sleep(self._wait * random.uniform(0.5, 1.0))
            self._wait = min(self._wait * 2, LOOK_EVERY)
        else:
            self._failed.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout(LOOK_EVERY):
                    await self._failed.wait()
                    return
        with suppress(Unavailable):
            await self._attempt(((b"PING",),))
            if self._trouble:
                log.info("redis is back", port=self._name, after=round(time.monotonic() - self._since, 3))
                self._trouble = ""

    def _refusal(self, error: ResponseError) -> Unavailable:
        """Redis answers and will not: out of memory, a replica that is read-only, no permission. It is not gone."""
        kind = type(error).__name__ if type(error) is not ResponseError else str(error).partition(" ")[0]
        if kind != self._refused:
            log.warning("redis refuses a command", port=self._name, error=kind)
        self._refused = kind
        return self._unavailable()

    def _unavailable(self, sent: bool = False) -> Unavailable:
        if sent:
            return Unavailable(
                "The connection to the cache was lost: whether it was done is not known.", reason="outcome_unknown"
            )
        return Unavailable("The cache does not answer: try again.", reason=f"{self._name}_unavailable")


class RedisStore:
    """`Store` over a Redis. Its time is Redis' own, which tests do not move."""

    def __init__(self, link: Link) -> None:
        self._link = link

    @property
    def state(self) -> str:
        return self._link.state

    async def get(self, name: bytes) -> bytes | None:
        value: bytes | None = (await self._link.run((b"GET", name)))[0]
        return value

    async def set(self, name: bytes, value: bytes, life: int) -> None:
        await self._link.run((b"SET", name, value, b"PX", life))

    async def delete(self, name: bytes) -> None:
        await self._link.run((b"UNLINK", name))

    async def add(self, name: bytes, value: bytes, life: int) -> bool:
        return (await self._link.run((b"SET", name, value, b"PX", life, b"NX")))[0] is not None

    async def increment(self, name: bytes, by: int, life: int) -> int:
        # One transaction, so that a counter never stands without the time it lives.
        *_, replies = await self._link.run(
            (b"MULTI",), (b"SET", name, 0, b"PX", life, b"NX"), (b"INCRBY", name, by), (b"EXEC",)
        )
        total = replies[-1]
        if isinstance(total, Exception):
            raise no_counter() from total
        return int(total)

    async def close(self) -> None:
        await self._link.close()


class RedisBroadcast:
    """`ports.Broadcast` over Redis' publish/subscribe. Channels are `acme:DATABASE:TOPIC`: Redis itself does not keep the
    channels of its numbered databases apart."""

    def __init__(self, address: Address, link: Link, timeout: float, tasks: Tasks, metrics: Metrics) -> None:
        self._address, self._link, self._timeout, self._tasks = address, link, timeout, tasks
        self._prefix = f"acme:{address.database}:".encode()
        self._topics = Topics(metrics)
        self._connection: AbstractConnection | None = None
        self._owed: Counter[str] = Counter()
        """SUBSCRIBE and UNSUBSCRIBE that were sent and not confirmed yet, by topic."""
        self._standing: set[str] = set()
        self._hearing = False
        self._wait = FIRST_LOOK
        metrics.gauge(
            "acme_broadcast_up",
            "Whether broadcasts are heard: 1 or 0.",
            (),
            lambda: {(): float(self.state == "ok")},
        )
        self._task = tasks.loop("broadcast.listen", self._listen, pause=0.0)

    @property
    def state(self) -> str:
        if self._hearing or self._link.state != "ok":
            return self._link.state
        return "it is being connected"

    async def publish(self, topic: str, message: bytes) -> None:
        channel, message = self._channel(checked_topic(topic)), checked_message(message)
        try:
            await self._link.run((b"PUBLISH", channel, message))
        except Unavailable:
            self._topics.unsaid.add()
        else:
            self._topics.said.add()

    @asynccontextmanager
    async def subscribe(self, topic: str) -> AsyncIterator[Subscription]:
        first = checked_topic(topic) not in self._topics
        with self._topics.listener(topic) as subscription:
            if first:
                self._tasks.spawn("broadcast.subscribe", self._ask(b"SUBSCRIBE", topic))
            elif topic in self._standing:
                subscription.lose()
            try:
                yield subscription
            finally:
                if self._topics.alone(topic):
                    self._tasks.spawn("broadcast.unsubscribe", self._ask(b"UNSUBSCRIBE", topic))

    async def close(self) -> None:
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        self._topics.close()
        await self._link.close()

    def _channel(self, topic: str) -> bytes:
        return self._prefix + topic.encode()

    async def _ask(self, verb: bytes, *topics: str) -> None:
        """Sends, and does not wait for the answer. Without a connection there is nothing to do: a new one asks for all."""
        connection = self._connection
        if connection is not None and connection.is_connected and topics:
            self._owed.update(topics)
            with suppress(RedisError, OSError):  # whoever reads from it finds out too
                await connection.send_command(verb, *map(self._channel, topics))

    async def _listen(self) -> None:
        """Hears until the connection breaks, and waits a little."""
        connection = self._address.connection(self._timeout)
        try:
            async with asyncio.timeout(self._timeout):
                await connection.connect()  # type: ignore[no-untyped-call]  # redis-py forgot it
            self._owed.clear()
            self._connection = connection
            await self._ask(b"SUBSCRIBE", *self._topics)
            while True:
                self._hear(await self._read(connection))
        except (RedisError, OSError, TimeoutError) as error:
            if self._hearing:
                log.warning("broadcasts are not heard", error=type(error).__name__)
                self._topics.count_gap()
        finally:
            self._connection, self._hearing = None, False
            self._standing.clear()
            await connection.disconnect(nowait=True)
        await asyncio.sleep(self._wait * random.uniform(0.5, 1.0))
        self._wait = min(self._wait * 2, LOOK_EVERY)

    async def _read(self, connection: AbstractConnection) -> Any:
        """The next reply.

        Raises:
            TimeoutError: nothing came for `LOOK_EVERY` seconds, although Redis was asked.
        """
        if self._hearing:
            reply = await connection.read_response(timeout=LOOK_EVERY / 2)
            if reply is not None:
                return reply
        await connection.send_command(b"PING")
        reply = await connection.read_response(timeout=LOOK_EVERY / 2)
        if reply is None:
            raise TimeoutError
        return reply

    def _hear(self, reply: Any) -> None:
        self._hearing, self._wait = True, FIRST_LOOK
        if not isinstance(reply, list) or len(reply) != 3:
            return  # the answer to PING
        kind, channel, content = reply
        topic = channel.removeprefix(self._prefix).decode()
        if kind == b"message":
            self._topics.hear(topic, content)
            return
        self._owed[topic] -= 1
        self._standing.discard(topic)
        if kind == b"subscribe" and self._owed[topic] <= 0:
            self._standing.add(topic)
            self._topics.stands(topic)
