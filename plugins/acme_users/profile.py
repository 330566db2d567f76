"""What people say about themselves: which fields they may set, and what each may hold."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from types import MappingProxyType
from typing import Final
from urllib.parse import urlsplit
from zoneinfo import available_timezones

from acme import Fault, Invalid
from acme.contracts.users.v1 import UpdateMeRequest


def changes(message: UpdateMeRequest, paths: Sequence[str]) -> Mapping[str, str]:
    """The fields that a mask names, with the values to keep.

    Raises:
        Invalid: the mask names a field that nobody can set, or a value is none of its kind.
    """
    if unknown := sorted(set(paths).difference(FIELDS)):
        faults = [Fault("/update_mask", "unknown_field", f"{path} cannot be changed") for path in unknown]
        raise Invalid(f"An update may name {', '.join(FIELDS)}.", faults=faults)
    values: dict[str, str] = {}
    faults = []
    for path in dict.fromkeys(paths):
        try:
            values[path] = FIELDS[path](getattr(message, path))
        except ValueError as error:
            faults.append(Fault(f"/{path}", "format", str(error)))
    if faults:
        raise Invalid("The profile cannot hold this.", faults=faults)
    return values


def _name(text: str) -> str:
    if not text:
        raise ValueError("a name is expected")
    return text


def _picture(text: str) -> str:
    """Empty, or an absolute https URL (RFC 3986) without a user in it: browsers of others will fetch it."""
    message = "an https address is expected, such as https://example.com/ann.png"
    if not text:
        return text
    if not text.isascii() or any(character in ' "<>\\^`{|}' or not character.isprintable() for character in text):
        raise ValueError(message)
    try:
        parts = urlsplit(text)
        usable = parts.scheme == "https" and parts.hostname and parts.port != 0
    except ValueError as error:
        raise ValueError(message) from error
    if not usable or "@" in parts.netloc:
        raise ValueError(message)
    return text


def _locale(text: str) -> str:
    """A language tag in the customary case (RFC 5646, section 2.1.1); its form is checked by the contract."""
    if not text:
        raise ValueError('a language tag is expected, such as "de-CH"')
    language, *rest = text.split("-")
    cased = [language.lower()]
    for subtag in rest:
        after_singleton = len(cased[-1]) == 1
        if len(subtag) == 2 and not after_singleton:
            cased.append(subtag.upper())
        elif len(subtag) == 4 and not after_singleton:
            cased.append(subtag.title())
        else:
            cased.append(subtag.lower())
    return "-".join(cased)


def _time_zone(text: str) -> str:
    if text not in _time_zones():
        raise ValueError('a name in the IANA time zone database is expected, such as "Europe/Zurich"')
    return text


@cache
def _time_zones() -> frozenset[str]:
    return frozenset(available_timezones())


FIELDS: Final[Mapping[str, Callable[[str], str]]] = MappingProxyType(
    {"display_name": _name, "avatar_url": _picture, "locale": _locale, "time_zone": _time_zone}
)
"""Fields that an update mask may name, and what makes of a value the one to keep."""
