"""Values outside of a JSON body: parameters of a path or a query, and headers."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Final

import msgspec

from acme.codec.values import WELL_KNOWN, allowed, json_bounds, json_type, unwrapped
from acme.contract import Field, Kind

_INTEGER: Final = re.compile(r"-?[0-9]{1,20}")
_NUMBER: Final = re.compile(r"-?[0-9]{1,400}(?:\.[0-9]{1,400})?(?:[eE][+-]?[0-9]{1,4})?")
_BOOLEANS: Final = {"true": True, "false": False}


def parser(field: Field) -> Callable[[str], Any]:
    """A function from the text to one value of the field. It raises ValueError, which says what is allowed."""
    inner = unwrapped(field)
    if inner.message is not None and inner.message.name not in WELL_KNOWN:
        raise TypeError(f"{field.descriptor.full_name} is an object, which no parameter holds")
    read, wanted = _READERS[inner.kind](inner), f"must be {allowed(inner)}"

    def parse(text: str) -> Any:
        try:
            return read(text)
        except (ValueError, KeyError):
            raise ValueError(wanted) from None

    return string if inner.kind is Kind.STRING else parse


def string(text: str) -> str:
    """The text itself. ValueError when PostgreSQL or UTF-8 could not hold it."""
    if "\0" in text:
        raise ValueError("must not contain the character U+0000")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ValueError("must be UTF-8") from None
    return text


def _integer(field: Field) -> Callable[[str], Any]:
    low, high = json_bounds(field)

    def read(text: str) -> int:
        if _INTEGER.fullmatch(text) and low <= int(text) <= high:
            return int(text)
        raise ValueError(text)

    return read


def _number(field: Field) -> Callable[[str], Any]:
    wanted = json_type(field)

    def read(text: str) -> Any:
        if not _NUMBER.fullmatch(text):
            raise ValueError(text)
        number = float(text)
        if number in (float("inf"), float("-inf")):
            raise ValueError(text)
        return msgspec.convert(number, wanted)

    return read


def _choice(field: Field) -> Callable[[str], Any]:
    choices = field.choices.values if field.choices is not None else ()
    members = {choice.name: field.choices.cls(choice.number) for choice in choices if field.choices is not None}
    return members.__getitem__


def _message(field: Field) -> Callable[[str], Any]:
    known = WELL_KNOWN[field.message.name if field.message is not None else ""]
    return lambda text: known.read(msgspec.convert(string(text), known.type))


_READERS: Final[dict[Kind, Callable[[Field], Callable[[str], Any]]]] = {
    Kind.BOOL: lambda _: _BOOLEANS.__getitem__,
    Kind.INT: _integer,
    Kind.FLOAT: _number,
    Kind.STRING: lambda _: string,
    Kind.BYTES: lambda _: lambda text: msgspec.convert(text, bytes),
    Kind.ENUM: _choice,
    Kind.MESSAGE: _message,
}
