"""For each message the msgspec Struct that JSON is decoded into and encoded from: msgspec checks its types in C.

A field that is absent is UNSET, one that is null is None; both differ from every value, so that a reader can tell what
was said. Unknown fields are refused.
"""

from __future__ import annotations

from types import GenericAlias
from typing import Any, ForwardRef, Union

import msgspec
from msgspec import UNSET, UnsetType

from acme.codec.values import json_type
from acme.contract import Field, Kind, Message

Shadow = type[msgspec.Struct]


class Shadows:
    """The shadows of messages, each made once."""

    def __init__(self) -> None:
        self._made: dict[str, Shadow] = {}
        self._begun: set[str] = set()
        self._owed: list[tuple[Shadow, str]] = []

    def of(self, m: Message) -> Shadow:
        """The shadow of a message. Its attributes are named like those of the message class."""
        if m.name not in self._made:
            self._begun.add(m.name)
            self._made[m.name] = self.without(m, frozenset())
            self._begun.remove(m.name)
            if not self._begun:
                self._settle()
        return self._made[m.name]

    def without(self, m: Message, exclude: frozenset[str]) -> Shadow:
        """A shadow of its own, which refuses the fields in `exclude` as unknown."""
        fields: list[Any] = []
        needs: list[str] = []
        for f in m.fields:
            if f.name not in exclude:
                kind = Union.__getitem__((self._type(f, needs), None, UnsetType))
                fields.append((f.attr, kind, msgspec.field(default=UNSET, name=f.name)))
        made = msgspec.defstruct(m.descriptor.name, fields, module=__name__, forbid_unknown_fields=True, gc=False)
        self._owed += [(made, name) for name in needs]
        return made

    def _type(self, f: Field, needs: list[str]) -> Any:
        if f.value is not None and f.key is not None:
            key = json_type(f.key) if f.key.kind is Kind.INT else str
            return GenericAlias(dict, (key, self._one(f.value, needs)))
        one = self._one(f, needs)
        return GenericAlias(list, (one,)) if f.repeated else one

    def _one(self, f: Field, needs: list[str]) -> Any:
        """The type of one value."""
        plain = json_type(f)
        if plain is not None or f.message is None:
            return plain
        if f.message.name in self._begun:
            # It contains itself. msgspec resolves names among the attributes of the Struct they appear in.
            needs.append(f.message.name)
            return ForwardRef(_attribute(f.message.name))
        return self.of(f.message)

    def _settle(self) -> None:
        for shadow, name in self._owed:
            setattr(shadow, _attribute(name), self._made[name])
        self._owed.clear()


def _attribute(name: str) -> str:
    return "_" + name.replace(".", "_")
