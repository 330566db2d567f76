"""Where the brokers are and how to log in to them, and what their errors mean."""

from __future__ import annotations

import asyncio
import logging
import ssl
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from importlib.util import find_spec
from typing import Any, Final
from urllib.parse import urlsplit

from aiokafka.errors import CommitFailedError, KafkaError

from acme.errors import Unavailable
from acme.telemetry import logger

log: Final = logger(__name__)

PASSWORDS: Final = frozenset({"PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"})
IAM: Final = "AWS_MSK_IAM"
MECHANISMS: Final = PASSWORDS | {IAM}


@dataclass(frozen=True, slots=True)
class Cluster:
    """A Kafka cluster, as clients of it are told."""

    servers: tuple[str, ...]
    tls: ssl.SSLContext | None
    mechanism: str
    user: str
    password: str = field(repr=False)
    region: str
    timeout: float
    """Seconds that a request, and anything that waits, may take."""

    @classmethod
    def of(
        cls,
        url: str,
        *,
        tls: ssl.SSLContext | None = None,
        mechanism: str = "",
        user: str = "",
        password: str = "",
        region: str = "",
        timeout: float = 10.0,
    ) -> Cluster:
        """Raises `ValueError` where these do not go together."""
        parts = urlsplit(url)
        if "@" in parts.netloc:
            raise ValueError("an account does not belong in the URL of Kafka: give user and password as settings")
        if parts.query or parts.fragment or parts.path.strip("/"):
            raise ValueError("the URL of Kafka has nothing but a scheme and addresses: kafka://one:9092,two:9092")
        servers = tuple(each if _has_port(each) else f"{each}:9092" for each in parts.netloc.split(",") if each)
        if not servers:
            raise ValueError("the URL of Kafka names no broker: kafka://one:9092,two:9092")
        secured = parts.scheme == "kafkas"
        if tls is not None and not secured:
            raise ValueError("TLS goes with kafkas://, not with kafka://")
        _check_login(mechanism, user, password, region, secured)
        if secured and tls is None:
            tls = ssl.create_default_context()
        return cls(servers, tls, mechanism, user, password, region, timeout)

    def client(self) -> dict[str, Any]:
        """What every client of aiokafka takes."""
        _quieten()
        told: dict[str, Any] = {"bootstrap_servers": list(self.servers), "ssl_context": self.tls}
        told["client_id"] = "acme"
        told["security_protocol"] = ("SASL_" if self.mechanism else "") + ("SSL" if self.tls else "PLAINTEXT")
        if not self.mechanism:
            told["security_protocol"] = "SSL" if self.tls else "PLAINTEXT"
        elif self.mechanism == IAM:
            from acme.drivers.kafka.iam import Tokens  # the library of AWS is an extra: only who uses it needs it

            told |= {"sasl_mechanism": "OAUTHBEARER", "sasl_oauth_token_provider": Tokens(self.region, self.timeout)}
        else:
            told |= {"sasl_mechanism": self.mechanism}
            told |= {"sasl_plain_username": self.user, "sasl_plain_password": self.password}
        return told

    @property
    def milliseconds(self) -> int:
        """The timeout as Kafka's settings want it."""
        return int(self.timeout * 1000)


class Health:
    """What the last dealings with the cluster say of it."""

    def __init__(self) -> None:
        self._trouble = ""
        self._since = 0.0

    @property
    def state(self) -> str:
        """The word "ok", or what is wrong and since when."""
        return f"{self._trouble} for {time.monotonic() - self._since:.0f} s" if self._trouble else "ok"

    def well(self) -> None:
        """It has answered."""
        if self._trouble:
            log.info("kafka is back", after=round(time.monotonic() - self._since, 3))
            self._trouble = ""

    def failed(self, what: str, error: BaseException) -> Unavailable:
        """Notes it, and returns what the caller is told. Texts of errors are left out: some quote what was sent."""
        kind = type(error).__name__
        if not self._trouble:
            self._since = time.monotonic()
            log.warning("kafka fails", doing=what, error=kind)
        self._trouble = f"{what} failed ({kind})"
        return self.unavailable()

    def unavailable(self) -> Unavailable:
        """What the caller is told."""
        return Unavailable("The event bus does not answer: try again.", reason="bus_unavailable")

    @asynccontextmanager
    async def asking(self, what: str, timeout: float) -> AsyncIterator[None]:
        """Limits what is inside to `timeout` seconds, and turns Kafka's errors into ours.

        Raises:
            Unavailable: it failed, or took too long: then it may have been done.
        """
        try:
            async with asyncio.timeout(timeout):
                yield
        except CommitFailedError:  # a fact about the group, which its caller knows how to tell
            self.well()
            raise
        except (KafkaError, OSError, TimeoutError) as error:
            raise self.failed(what, error) from error
        self.well()


def _check_login(mechanism: str, user: str, password: str, region: str, secured: bool) -> None:
    if mechanism and mechanism not in MECHANISMS:
        raise ValueError(f"no such mechanism: {mechanism}; there are {', '.join(sorted(MECHANISMS))}")
    if mechanism in PASSWORDS and not (user and password):
        raise ValueError(f"{mechanism} needs a user and a password")
    if mechanism == IAM and not region:
        raise ValueError(f"{IAM} needs the region of the cluster")
    if mechanism == IAM and find_spec("aws_msk_iam_sasl_signer") is None:
        raise ValueError(f"{IAM} needs a package that is not installed: install acme-platform[msk]")
    if mechanism in {"PLAIN", IAM} and not secured:
        raise ValueError(f"{mechanism} would show its secret to the network: use kafkas://")
    if (user or password) and mechanism not in PASSWORDS:
        raise ValueError(f"a user and a password need a mechanism: {', '.join(sorted(PASSWORDS))}")


def _has_port(server: str) -> bool:
    return server.rpartition(":")[2].isdigit()


def _quieten() -> None:
    """aiokafka logs each attempt to reach a broker that is away, and at its lowest level keys and values.

    `Health` says once what is wrong.
    """
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
