"""What a gateway serves: the routes of contracts, and endpoints of its own, in one trie; each with what holds for it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, Protocol

from acme.codec.json import Json
from acme.codec.wire import Wire
from acme.contract import Method, Route, Service
from acme.gateway import openapi, policy
from acme.gateway.accounts import Accounts
from acme.gateway.binding import Bound, Lazy, unfit
from acme.gateway.endpoints import Fixed, Info
from acme.gateway.lanes import Lanes
from acme.gateway.limits import Limits
from acme.gateway.routing import Routes
from acme.gateway.settings import GatewaySettings
from acme.ports import Front
from acme.telemetry import logger

log: Final = logger(__name__)

Target = Fixed | Lazy


class Own(Protocol):
    """Makes the endpoints that no contract describes, by path."""

    def __call__(self, openapi: Callable[[], bytes], *, docs: bool) -> Mapping[str, Fixed]: ...


class Served:
    """Of one gateway."""

    def __init__(
        self,
        services: Iterable[Service],
        directory: Front,
        json: Json,
        wire: Wire,
        lanes: Lanes,
        accounts: Accounts,
        own: Own,
        info: Info,
        settings: GatewaySettings,
        limits: Limits,
    ) -> None:
        """The arguments are the gateway's.

        Raises:
            ValueError: the settings do not fit the services, a line a fault.
        """
        self._services, self._directory = tuple(services), directory
        self._json, self._wire, self._lanes, self._accounts = json, wire, lanes, accounts
        self._make_own, self._info, self._settings = own, info, settings
        self._own: tuple[str, ...] = ()
        self._document = b""
        self.routes: Final[Routes[Target]] = Routes()
        policy.check(self._services, settings)
        for service in self._services:
            client: Any = directory.client(service.stub)
            for method in service.methods:
                for route in method.routes:
                    self._add(method, route, client, limits)
        self._add_own(settings.docs)

    def prepare(self, settings: GatewaySettings, limits: Limits) -> Callable[[], None]:
        """What has other settings hold for the next request. Otherwise as `__init__`."""
        policy.check(self._services, settings)
        targets = [each for leaf in self.routes for each in leaf.targets.values() if isinstance(each, Lazy)]
        policies = [policy.policy(target.method, settings, limits) for target in targets]

        def commit() -> None:
            if settings.docs != self._settings.docs:
                self._add_own(settings.docs)
            for target, own in zip(targets, policies, strict=True):
                target.policy = own
            self._settings, self._document = settings, b""

        return commit

    def _add(self, method: Method, route: Route, client: Any, limits: Limits) -> None:
        if why := unfit(method, route):
            log.warning("a route is not served", method=method.path, route=f"{route.verb} {route.template}", why=why)
            return
        own = policy.policy(method, self._settings, limits)
        target = Lazy(
            method,
            lambda: Bound(method, route, names, client, self._directory, self._json, self._wire),
            own,
            self._lanes.of(method),
        )
        names = self.routes.add(route.verb, route.template, target)
        self._accounts.hide(method, route, names)

    def _add_own(self, docs: bool) -> None:
        """In the place of those before."""
        own = self._make_own(self._openapi, docs=docs)
        for path in self._own:
            self.routes.remove(path)
        for path, endpoint in own.items():
            self.routes.add("GET", path, endpoint)
        self._own = tuple(own)

    def _openapi(self) -> bytes:
        if not self._document:
            self._document = openapi.render(self._services, self._settings, self._info.title, self._info.version)
        return self._document
