"""`[tokens.issuers.NAME]`: whose tokens are believed beside our own, where their keys are, and whom they stand for."""

from __future__ import annotations

import re
from ipaddress import ip_address
from typing import Annotated, Final, Literal
from urllib.parse import urlsplit

import msgspec
from msgspec import Meta

Algorithm = Literal[
    "ES256", "ES384", "ES512", "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "EdDSA", "Ed25519"
]  # fmt: skip
"""Signatures with a public key (RFC 7518, RFC 8037, RFC 9864). No HMAC: whoever can verify one can make one."""

Seconds = Annotated[float, Meta(gt=0, le=604_800)]
Texts = Annotated[tuple[Annotated[str, Meta(min_length=1)], ...], Meta(min_length=1)]

NAME: Final = re.compile(r"[a-z][a-z0-9-]{0,30}")
_ORGANIZATION: Final = re.compile(r"org_[0-9a-z]{1,64}")


class PrincipalSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`[tokens.issuers.NAME.principal]`: claims → principal. What is not declared here is not believed.

    A claim is named by its name; or, where it lies deeper, by a JSON Pointer (RFC 6901), such as "/realm_access/roles". Of
    those that hold several values, each counts: a list of strings, or a string with spaces between them.
    """

    id: str = "sub"
    """Claim that tells one holder from all others of the issuer. The principal's id is made of it, see the README."""
    session: str = ""
    """Claim that names the session or the token, for the audit log. Empty: none is named."""
    kind: Literal["user", "service_account"] = "user"
    """What the holders are, unless `kinds` says otherwise."""
    kind_claim: str = ""
    """Claim that tells what a holder is, such as "gty"."""
    kinds: dict[str, Literal["user", "service_account"]] = msgspec.field(default_factory=dict)
    """Value of that claim → kind."""
    organization: str = ""
    """The organisation ("org_…") that all of them belong to. Empty: the claim says it, or they belong to none."""
    organization_claim: str = ""
    """Claim that names organisations, in the words of the issuer."""
    organizations: dict[str, str] = msgspec.field(default_factory=dict)
    """Value of that claim → organisation. One that is not here is not believed."""
    role: Literal["", "owner", "admin", "member", "viewer", "guest"] = ""
    """Built-in role of those of whom the claim names no better one. Empty: without one they belong to nothing."""
    role_claim: str = ""
    """Claim that names roles, in the words of the issuer."""
    roles: dict[str, Literal["owner", "admin", "member", "viewer", "guest"]] = msgspec.field(default_factory=dict)
    """Value of that claim → built-in role; the highest counts."""
    permissions: dict[str, tuple[str, ...]] = msgspec.field(default_factory=dict)
    """Value of that claim → permissions that it gives in the organisations, beside the role."""
    covers: tuple[str, ...] = ()
    """What every token of the issuer covers: permissions, "read" for all that only read, or "*"."""
    scope_claim: str = "scope"
    """Claim that names scopes, in the words of the issuer."""
    scopes: dict[str, tuple[str, ...]] = msgspec.field(default_factory=dict)
    """Value of that claim → what it covers, in the words of `covers`."""
    authenticated_at: str = ""
    """Claim that says when somebody last proved to be the holder, such as "auth_time". Empty: methods that want a fresh
    log-in are closed to them."""

    def __post_init__(self) -> None:
        if not self.id:
            raise ValueError("id: name the claim that tells holders apart")
        for organization in filter(None, (self.organization, *self.organizations.values())):
            if _ORGANIZATION.fullmatch(organization) is None:
                raise ValueError(f'{organization!r} is no organisation of this platform, "org_…"')
        if self.organization and self.organization_claim:
            raise ValueError("either organization or organization_claim: both would contradict each other")
        for claim, table in (
            ("kind_claim", self.kinds),
            ("organization_claim", self.organizations),
            ("scope_claim", self.scopes),
            ("role_claim", {**self.roles, **self.permissions}),
        ):
            if table and not getattr(self, claim):
                raise ValueError(f"{claim} has to say which claim holds the values that are translated")


class IssuerSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`[tokens.issuers.NAME]`: an issuer whose tokens are believed, as far as this says."""

    issuer: Annotated[str, Meta(min_length=1, max_length=512)]
    """Claim `iss`, compared to the letter. Where keys are discovered, the URL that its `.well-known` is below."""
    audience: Texts
    """Claim `aud`: one of them has to be in it. It tells tokens for this API from those for others."""
    algorithms: Annotated[tuple[Algorithm, ...], Meta(min_length=1)]
    """How its tokens are signed, such as ["RS256"]. A key is used with those of them that fit it, whatever a token says."""
    discovery: str = ""
    """URL of its metadata (OpenID Connect Discovery, RFC 8414). Empty: issuer + "/.well-known/openid-configuration", unless
    `jwks_url` is set."""
    jwks_url: str = ""
    """URL of its keys (a JWK Set). Empty: its metadata says."""
    hosts: tuple[str, ...] = ()
    """Where its metadata and keys may come from: hosts, with ":port" where it is another than 443. Empty: the issuer's own,
    that of `discovery` and that of `jwks_url`."""
    types: Annotated[tuple[Literal["at+jwt", "JWT", ""], ...], Meta(min_length=1)] = ("at+jwt",)
    """Header `typ` of its access tokens; "" is one without. Many issuers say "JWT", of ID tokens as well: then only the
    audience tells these apart."""
    leeway: Annotated[float, Meta(ge=0, le=300)] = 30.0
    """Seconds by which its clock and ours may differ."""
    longest_life: Seconds = 7200.0
    """Seconds. A token that lives longer is refused: nobody can revoke it."""
    refresh: Annotated[float, Meta(ge=1, le=86_400)] = 300.0
    """Seconds between two looks at its keys."""
    refetch: Annotated[float, Meta(ge=0.1, le=3600)] = 5.0
    """Seconds between two looks that tokens with unknown keys cause, in a process: what was not there at the last is unknown
    until the next (401)."""
    stale: Seconds = 21_600.0
    """Seconds for which its keys are believed while it does not answer."""
    timeout: Annotated[float, Meta(gt=0, le=10)] = 3.0
    """Seconds it may take to answer."""
    principal: PrincipalSettings = PrincipalSettings()
    """Whom its tokens stand for."""

    def __post_init__(self) -> None:
        for url in filter(None, (self.discovery, self.jwks_url)):
            check_url(url)
        if not self.jwks_url:
            check_url(self.metadata_url)
        for url in filter(None, (self.jwks_url or self.metadata_url, self.discovery)):
            if not self.allows(url):
                raise ValueError(f"hosts has to hold {host_of(url)!r}, where {url!r} is")

    @property
    def metadata_url(self) -> str:
        """Where it says where its keys are."""
        return self.discovery or self.issuer.rstrip("/") + "/.well-known/openid-configuration"

    def allows(self, url: str) -> bool:
        """Whether something may be fetched from there. `url` passed `check_url`."""
        own = (self.issuer, self.discovery, self.jwks_url)
        return host_of(url) in (self.hosts or {host_of(each) for each in own if "://" in each})


def check_url(url: str) -> None:
    """Raises `ValueError` unless it is an https: URL of nothing but host, port, path and query; or http: on this very
    machine, by its address, where nobody can listen in."""
    parts = urlsplit(url)
    if not parts.hostname or parts.username is not None or parts.fragment or not url.isascii() or not url.isprintable():
        raise ValueError(f"{url!r} is not a URL with a host, and no more than a path and a query")
    if parts.scheme != "https" and not (parts.scheme == "http" and _is_loopback(parts.hostname)):
        raise ValueError(f"{url!r} has to begin with https://")
    _ = parts.port  # raises ValueError for what is none


def host_of(url: str) -> str:
    """Host of a URL, with its port unless that is the usual one, in small letters."""
    netloc = urlsplit(url).netloc.lower()
    return netloc.removesuffix(":443") if url.startswith("https:") else netloc


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
