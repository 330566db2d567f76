"""What of the platform one process is: the gateway, some plugins, or all of it; and where it finds the rest.

    `acme up`                      Role()
    `acme serve --gateway`         Role(gateway=True, host=frozenset(), alone=False)
    `acme serve --only users`      Role(gateway=False, host=frozenset({"users"}), alone=False)

Every plugin that is installed and not disabled is hosted here or has an address in `[services]`, and never both: nobody has
to guess where a call goes. `check` says so before anything is started.
"""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from acme.config import ConfigError
from acme.runtime.settings import Config
from acme.runtime.stores import shared_by_processes

EMBEDDED: Final = "embedded:"


@dataclass(frozen=True, slots=True)
class Role:
    """What one process is."""

    gateway: bool = True
    """Whether it answers HTTP."""
    host: frozenset[str] | None = None
    """Names of the plugins it hosts; `None`: all."""
    alone: bool = True
    """Whether this process is the whole platform: nobody calls it but its own gateway, and the data folder is its own."""
    socket: int | None = None
    """Descriptor of a listening socket for the gateway that somebody else has opened."""
    sockets: Mapping[str, int] = field(default_factory=dict)
    """The same for its further listeners, by name."""
    others: Mapping[int, Mapping[str, int]] = field(default_factory=dict)
    """The sockets of the other processes that answer on the same ports, by their numbers: "" is the gateway's own."""
    name: str = ""
    """What it is called in `acme topology`; empty: after what it does."""

    def hosts(self, plugin: str) -> bool:
        """Whether this process hosts a plugin."""
        return self.host is None or plugin in self.host

    def reads(self, setting: str) -> bool:
        """Whether a setting, such as "gateway.timeout", matters to this process."""
        section = setting.partition(".")[0]
        if section == "split":
            return False
        if section in ("gateway", "limiter"):
            return self.gateway
        if section == "worker":
            return not self.alone and self.host != frozenset()
        return section not in ("database", "bus", "archive", "plugins") or self.host is None or bool(self.host)

    @property
    def title(self) -> str:
        """Its name, such as "gateway", "users" or "gateway+users"."""
        return self.name or "+".join([*(["gateway"] if self.gateway else []), *sorted(self.host or ())])


WHOLE: Final = Role()
"""The platform in one process."""


def check(role: Role, config: Config, plugins: Collection[str]) -> None:
    """Whether a role and a configuration make sense together. `plugins` are installed and not disabled.

    Raises:
        ConfigError: a line for each fault, with what to do.
    """
    problems = [*_unknown(role, config, plugins)]
    for plugin in sorted(plugins):
        addressed = plugin in config.services
        if role.hosts(plugin) and addressed:
            problems.append(
                f"services.{plugin}: the plugin {plugin} is hosted in this process and has an address as well: take the"
                f' address out here (ACME_SERVICES__{plugin.upper()}=""), or host it elsewhere (--only without {plugin})'
            )
        elif not role.hosts(plugin) and not addressed:
            problems.append(
                f"services.{plugin}: the plugin {plugin} is neither hosted in this process nor has an address: say where"
                f' it is ([services] {plugin} = "grpc://host:50051"), host it (--only {plugin}), or leave it out of this'
                f' platform ([platform] disabled = ["{plugin}"])'
            )
    secured = [name for name, where in config.services.items() if any(one.startswith("grpcs:") for one in where)]
    if config.worker.listen.startswith("grpcs:") and not role.alone and role.host:
        secured.append("worker.listen")
    if secured and not config.mtls.certificate:
        problems.append(
            f"{', '.join(secured)}: a grpcs: address needs certificates: set certificate, key and authority in [mtls]"
        )
    if not role.alone:
        problems += _shared(role, config)
    if problems:
        raise ConfigError(*problems)


def _unknown(role: Role, config: Config, plugins: Collection[str]) -> Iterable[str]:
    known = sorted(plugins)
    for where, names in (("--only", role.host or ()), ("services", config.services)):
        for name in sorted(set(names) - set(plugins)):
            if name in config.platform.disabled:
                yield f"{where} {name}: the plugin {name} is disabled ([platform] disabled)"
                continue
            close = difflib.get_close_matches(name, known)
            meant = f" Did you mean {' or '.join(close)}?" if close else ""
            yield f"{where} {name}: no such plugin is installed.{meant} Installed: {', '.join(known)}"


def _shared(role: Role, config: Config) -> Iterable[str]:
    """What two processes cannot share, in a process that is one of several."""
    if role.gateway and config.worker.replicas > 1 and (told := shared_by_processes(config).get("limiter")):
        yield told
    if not role.host:
        return
    if config.database.url == EMBEDDED and not role.host <= config.database.urls.keys():
        yield (
            f'database.url: "{EMBEDDED}" starts PostgreSQL inside one process and ends it with that process, so the'
            " processes of `acme serve` cannot share it: give the address of a server that outlives each of them,"
            ' [database] url = "postgresql://user@host:5432/" (ACME_DATABASE__URL)'
        )
    if config.worker.replicas > 1 and (told := shared_by_processes(config).get("cache")):
        yield f"{told}, or host each plugin in one process ([worker] replicas = 1)"
    if not role.gateway and not config.platform.public_url:
        yield (
            "platform.public_url: links in mails need the gateway's origin, and the gateway is another process: set it,"
            ' such as "https://acme.example"'
        )
