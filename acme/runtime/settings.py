"""Every setting of the platform, with its default. `acme.toml` shows them all, annotated.

    config = load([Path("acme.toml")], os.environ)

Order, later wins: the defaults here, `acme.toml`, the files given with `-c`, the environment (`ACME_GATEWAY__PORT=9000`),
the command line. Settings of the gateway and of tokens are declared beside their code, a plugin's by the plugin.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Final, Literal, TextIO

import msgspec

from acme.config import ConfigError, Layer, Section, Tree, read_environment, read_file
from acme.gateway.settings import GatewaySettings
from acme.runtime.bus_settings import BusSettings
from acme.tokens import TokenSettings
from acme.traces import TraceSettings

Port = Annotated[int, msgspec.Meta(ge=0, le=65535)]
Grace = Annotated[float, msgspec.Meta(ge=0, le=3600)]
Several = Annotated[int, msgspec.Meta(ge=1, le=32)]

_HOST: Final = r"([A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])"
_PORT: Final = r"(6553[0-5]|655[0-2][0-9]|65[0-4][0-9]{2}|6[0-4][0-9]{3}|[1-5]?[0-9]{1,4})"
_PLACE: Final = rf"(grpcs?://{_HOST}:{_PORT}|grpc\+unix://(/[^,\s]+))"
ADDRESS: Final = re.compile(_PLACE)
"""One address: `grpc://host:port`, `grpcs://host:port` (mTLS) or `grpc+unix:///path`, the path percent-encoded."""


class PlatformSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`[platform]`."""

    region: Annotated[str, msgspec.Meta(pattern="^[a-z][a-z0-9-]{0,62}$")] = "local"
    """Where this cluster's data lives. Given to every organisation created here, and never changed after."""
    public_url: Annotated[str, msgspec.Meta(pattern="^(https?://[^/?#]+)?$")] = ""
    """Origin that links in mails point at, such as "https://acme.example". Empty: the address the gateway listens on."""
    data: str = ".acme"
    """Folder of everything kept locally; relative to the working directory."""
    disabled: tuple[str, ...] = ()
    """Names of installed plugins that are not started."""
    plugin_start: Annotated[float, msgspec.Meta(gt=0, le=3600)] = 60.0
    """Seconds that a plugin's service has to start, its migrations not counted; one that takes longer is put aside."""


class EdgeSettings(GatewaySettings, frozen=True, forbid_unknown_fields=True):
    """`[gateway]`: what the gateway itself knows, and where and how long it is open, which is the runtime's affair."""

    host: str = "127.0.0.1"
    """Address to listen on; "0.0.0.0" and "::" are all of the machine's."""
    port: Port = 8080
    """Port to listen on; when it is busy, the next free one. 0: any free one."""
    grace: Grace = 10.0
    """Seconds that requests under way have to end after Ctrl-C or SIGTERM."""
    notice: Grace = 0.0
    """Seconds between /readyz saying no and the end of the listener: as long as a balancer needs to look elsewhere."""
    workers: Several = 1
    """Processes that answer on the port, each with all services; more than one makes use of as many cores."""


class DatabaseSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`[database]`."""

    url: Annotated[str, msgspec.Meta(pattern="^(embedded:|postgres(ql)?://.*)$")] = "embedded:"
    """`embedded:`, or a server's `postgresql://user@host:port/` (16 or newer); each plugin has a database there, of its
    name, created when it is missing."""
    connections: Annotated[int, msgspec.Meta(ge=1, le=1000)] = 8
    """Most connections a plugin's pool opens."""
    binaries: str = ""
    """Folder of PostgreSQL's programs for `embedded:`, such as "/usr/lib/postgresql/16/bin". Empty: those that came with
    the platform. The variable ACME_POSTGRES_BIN sets it too."""
    urls: dict[str, str] = msgspec.field(default_factory=dict)
    """A plugin's own database by the plugin's name: users = "postgresql://…/users". It has to exist."""


class WorkerSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`[worker]`: how a process of `acme serve` offers the plugins it hosts to the others."""

    listen: Annotated[str, msgspec.Meta(pattern=f"^{_PLACE}$")] = "grpc://127.0.0.1:50051"
    """Address to listen on; port 0 is any free one. grpcs: needs [mtls]."""
    grace: Grace = 10.0
    """Seconds that calls under way have to end after Ctrl-C or SIGTERM."""
    replicas: Several = 1
    """How many processes host the same plugins as this one, itself counted. With more than one, a driver that keeps
    everything within one process is refused."""


class MonitorSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`[monitor]`: what every process tells operators over HTTP, with a gateway or without."""

    listen: Annotated[str, msgspec.Meta(pattern=f"^({_HOST}:{_PORT})?$")] = ""
    """`host:port` for /healthz (also /livez), /readyz and /metrics; port 0 is any free one. Empty: none, and only a gateway
    answers these, on its own port. It is not for the world."""

    @property
    def place(self) -> tuple[str, int] | None:
        """Host and port, if any."""
        host, _, port = self.listen.rpartition(":")
        return (host.strip("[]"), int(port)) if self.listen else None

    def nth(self, number: int) -> str:
        """The setting of another process on the same machine: as many ports further on."""
        if self.place is None or not self.place[1]:
            return self.listen
        return f"{self.listen.rpartition(':')[0]}:{self.place[1] + number}"


class MtlsSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`[mtls]`: PEM files for grpcs: addresses, read again when they change. All three, or none."""

    certificate: str = ""
    """This process's certificate, with its chain; for both ends of a connection."""
    key: str = ""
    """Its private key, without a password."""
    authority: str = ""
    """Certificates of the authorities whose signature makes a process one of ours."""

    def __post_init__(self) -> None:
        if len({bool(self.certificate), bool(self.key), bool(self.authority)}) > 1:
            raise ValueError("certificate, key and authority are set together, or none of them")


class SplitSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`[split]`: how many processes `acme up --split` starts."""

    gateways: Several = 1
    """Gateways, each on a port of its own, counted from that in [gateway]."""
    workers: Several = 1
    """Workers of each plugin."""
    hang_limit: Grace = 30.0
    """Seconds without an answer after which a process that lives is killed and started again; 0: never."""


class CacheSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`[cache]`: what plugins keep for a while."""

    url: Annotated[str, msgspec.Meta(pattern="^(memory:|none:|rediss?://.+)$")] = "memory:"
    """`memory:`, each process by itself; `none:`, nothing is kept; or a Redis 7 that all share:
    `redis://user:password@host:6379/0`, `rediss://` with TLS (`?ssl_ca_certs=PATH`, `ssl_certfile`, `ssl_keyfile`)."""
    memory: Annotated[int, msgspec.Meta(ge=2_097_152)] = 67_108_864
    """Bytes that `memory:` takes at most; what was used longest ago goes first."""
    connections: Annotated[int, msgspec.Meta(ge=1, le=1000)] = 16
    """Most connections a process opens to Redis."""
    timeout: Annotated[float, msgspec.Meta(gt=0, le=60)] = 0.25
    """Seconds until a Redis that does not answer is a miss."""


class LimiterSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`[limiter]`: where the limits of `[gateway.limits]` are kept."""

    url: Annotated[str, msgspec.Meta(pattern="^(memory:|rediss?://.+)$")] = "memory:"
    """`memory:`, each gateway by itself, or a Redis 7 that all share, as in `[cache]`."""
    timeout: Annotated[float, msgspec.Meta(gt=0, le=60)] = 0.25
    """Seconds until a Redis that does not answer is gone. No request waits for it."""
    gateways: Annotated[int, msgspec.Meta(ge=0, le=1000)] = 0
    """How many gateways share the limits. 0: they count each other in Redis; with `memory:`, there is one."""


class BroadcastSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`[broadcast]`: how processes nudge each other. Nothing depends on it but how soon they notice."""

    url: Annotated[str, msgspec.Meta(pattern="^(memory:|rediss?://.+)$")] = "memory:"
    """`memory:`, within one process, or a Redis 7 as in `[cache]`."""
    timeout: Annotated[float, msgspec.Meta(gt=0, le=60)] = 0.25
    """Seconds that Redis has to take a message; then it is dropped."""


class ArchiveSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`[archive]`: where what has to be kept for good is kept, such as the audit log."""

    url: Annotated[str, msgspec.Meta(pattern="^(file:.*|s3://.+)$")] = "file:"
    """`file:`, the folder DATA/archive; `file:///path`, that folder; `s3://bucket/prefix?region=…`, with `endpoint=http://…`
    for another server than Amazon's."""
    timeout: Annotated[float, msgspec.Meta(gt=0, le=300)] = 10.0
    """Seconds the store may take to answer."""
    events: Annotated[int, msgspec.Meta(ge=1, le=1_000_000)] = 10_000
    """Events in a file: it ends before the next offset that is a multiple of this."""
    idle: Annotated[float, msgspec.Meta(gt=0)] = 300.0
    """Seconds after which what a quiet partition has is archived, full file or not."""
    lock: Annotated[float, msgspec.Meta(ge=0)] = 0.0
    """Seconds for which nobody may delete a file, this platform included, where the store sees to that (S3 Object Lock)."""


class MailerSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`[mailer]`."""

    url: Annotated[str, msgspec.Meta(pattern="^mailbox:$")] = "mailbox:"
    """`mailbox:` keeps mails in DATA/mailbox, for `acme mailbox`."""


class ClockSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`[clock]`."""

    url: Annotated[str, msgspec.Meta(pattern="^(system:|movable:.+)$")] = "system:"
    """`system:`, or `movable:PATH` for tests: an offset in a file that other processes move."""


class SecretSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`[secrets]`."""

    master_key: str = ""
    """Base64 of 32 random bytes or more, that all processes of a cluster share; encrypts tokens and stored replies.
    Empty: DATA/secrets/master.key, made at the first start."""

    def __repr__(self) -> str:
        return f"SecretSettings(master_key={'set' if self.master_key else 'empty'})"

    def __post_init__(self) -> None:
        if self.master_key:
            decode_key(self.master_key)


class LogSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`[log]`, to stderr."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    format: Literal["auto", "text", "json"] = "auto"
    """auto: text on a terminal, JSON otherwise."""

    def as_text(self, stream: TextIO) -> bool:
        """Whether lines on a stream are text."""
        return self.format == "text" or (self.format == "auto" and stream.isatty())


class Config(msgspec.Struct, frozen=True):
    """The whole configuration, frozen."""

    platform: PlatformSettings = PlatformSettings()
    gateway: EdgeSettings = EdgeSettings()
    tokens: TokenSettings = TokenSettings()
    database: DatabaseSettings = DatabaseSettings()
    cache: CacheSettings = CacheSettings()
    limiter: LimiterSettings = LimiterSettings()
    broadcast: BroadcastSettings = BroadcastSettings()
    bus: BusSettings = BusSettings()
    archive: ArchiveSettings = ArchiveSettings()
    mailer: MailerSettings = MailerSettings()
    clock: ClockSettings = ClockSettings()
    secrets: SecretSettings = SecretSettings()
    log: LogSettings = LogSettings()
    worker: WorkerSettings = WorkerSettings()
    monitor: MonitorSettings = MonitorSettings()
    mtls: MtlsSettings = MtlsSettings()
    split: SplitSettings = SplitSettings()
    traces: TraceSettings = TraceSettings()
    services: Mapping[str, tuple[str, ...]] = msgspec.field(default_factory=dict)
    """`[services]`: the addresses at which a plugin's services are, by its name."""
    plugins: Mapping[str, Section] = msgspec.field(default_factory=dict)
    """`[plugins.NAME]`, decoded at assembly into the plugin's own settings type."""

    @property
    def data(self) -> Path:
        """The data folder, absolute."""
        return Path(self.platform.data).expanduser().absolute()


SECTIONS: Final[Mapping[str, type[msgspec.Struct]]] = {
    "platform": PlatformSettings,
    "gateway": EdgeSettings,
    "tokens": TokenSettings,
    "database": DatabaseSettings,
    "cache": CacheSettings,
    "limiter": LimiterSettings,
    "broadcast": BroadcastSettings,
    "bus": BusSettings,
    "archive": ArchiveSettings,
    "mailer": MailerSettings,
    "clock": ClockSettings,
    "secrets": SecretSettings,
    "log": LogSettings,
    "worker": WorkerSettings,
    "monitor": MonitorSettings,
    "mtls": MtlsSettings,
    "split": SplitSettings,
    "traces": TraceSettings,
}
"""Every table but `services` and `plugins`, and its type."""


def default_files() -> list[Path]:
    """`acme.toml` of the working directory, when there is one."""
    path = Path("acme.toml")
    return [path] if path.exists() else []


def load(
    files: Sequence[Path] = (),
    environ: Mapping[str, str] | None = None,
    values: Mapping[str, Any] | None = None,
    name: str = "the command line",
) -> Config:
    """The configuration: `files` in order, then `environ`, then `values` (nested tables, called `name` in errors).

    Raises:
        ConfigError: with a line for each mistake.
    """
    layers = [read_file(file) for file in files]
    if environ is not None:
        if binaries := environ.get("ACME_POSTGRES_BIN"):
            layers.append(Layer({"database": {"binaries": binaries}}, "environment variable ACME_POSTGRES_BIN"))
        layers.append(read_environment(environ))
    if values:
        layers.append(Layer(values, name))
    tree = Tree(layers)
    decoded: dict[str, Any] = {}
    problems: list[str] = []
    try:
        tree.only([*SECTIONS, "services", "plugins"])
    except ConfigError as error:
        problems += error.problems
    for key, kind in SECTIONS.items():
        try:
            decoded[key] = tree.section(key).decode(kind)
        except ConfigError as error:
            problems += error.problems
    try:
        decoded["services"] = _addresses(tree.section("services"))
    except ConfigError as error:
        problems += error.problems
    try:
        decoded["plugins"] = tree.sections("plugins")
    except ConfigError as error:
        problems += error.problems
    if problems:
        raise ConfigError(*problems)
    return Config(**decoded)


def _addresses(section: Section) -> dict[str, tuple[str, ...]]:
    """A plugin that is set to nothing has no address: so a later layer takes back what an earlier one said."""
    found: dict[str, tuple[str, ...]] = {}
    problems: list[str] = []
    for name, text in section.texts().items():
        addresses = tuple(filter(None, (part.strip() for part in text.split(","))))
        wrong = [address for address in addresses if not ADDRESS.fullmatch(address)]
        if wrong:
            problems.append(
                section.fault(
                    "an address is expected, or several with commas between them: grpc://host:port, grpcs://host:port or"
                    " grpc+unix:///path",
                    name,
                )
            )
        elif addresses:
            found[name] = addresses
    if problems:
        raise ConfigError(*problems)
    return found


def decode_key(text: str) -> bytes:
    """The bytes of a master key.

    Raises:
        ValueError: not base64, or fewer than 32 bytes.
    """
    try:
        key = base64.b64decode(text, validate=True)
    except binascii.Error:
        key = b""
    if len(key) < 32:
        raise ValueError("master_key: base64 of 32 bytes or more is expected; make one with `openssl rand -base64 32`")
    return key
