"""JSON Schemas (2020-12) that settings keep to, and the limits a schema itself keeps to.

A schema comes from whoever administers an organisation, so it is not trusted: it refers to no other document, its patterns
are matched in linear time (Rust's regex syntax: no look-around, no back-references), and it does not contain itself, by
which its cost would grow with every level. What is left is bounded by its size when every reference is written out, times
that of what is looked at.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, NoReturn, TypeAlias

import jsonschema_rs
import msgspec

from acme import Fault, Invalid

Json: TypeAlias = Any
"""A plain JSON value."""

LARGEST: Final = 64 * 1024
"""Bytes of JSON of a schema, and of settings."""
MOST: Final = 2_000
"""Subschemas of a schema and values it names, with every reference written out."""
PATTERN: Final = 20
"""Subschemas that a regular expression counts for: compiled, it takes hundreds of kilobytes."""
AGAIN: Final = 3
"""What `unevaluatedProperties` and `unevaluatedItems` multiply by: they look at what stands beside them once more, and so do
those inside of that."""
COSTLIEST: Final = 2_000_000
"""Subschemas times values that one validation looks at, at most."""
FAULTS: Final = 50
"""Faults that an answer names at most."""

_LISTED: Final = 20_000
"""Subschemas times values up to which all faults are looked for: they are found all at once, before the first is seen."""
_PATTERNS: Final = jsonschema_rs.RegexOptions(size_limit=1 << 20, dfa_size_limit=1 << 20)
_HERE: Final = "#/$defs/"
_NAME: Final = re.compile(r"[A-Za-z0-9_.-]+")
"""A definition that can be referred to. Others could be read as a path of several steps, or decoded to another name."""
_AGAIN: Final = frozenset({"unevaluatedProperties", "unevaluatedItems"})
_MAPS: Final = frozenset(
    {"properties", "patternProperties", "dependentSchemas", "$defs", "definitions", "dependencies"}
)
"""Keywords whose value holds schemas by names that anybody may choose, such as those of keywords."""


@dataclass(frozen=True, slots=True)
class Compiled:
    """A schema to validate with."""

    validator: jsonschema_rs.Validator
    size: int
    """Subschemas, with every reference written out."""


def compiled(schema: Mapping[str, Json]) -> Compiled:
    """A schema that is one, within the limits.

    Raises:
        Invalid: reason `invalid_schema`; no JSON Schema, or beyond the limits.
    """
    if len(msgspec.json.encode(schema)) > LARGEST:
        _refuse("", f"A schema has at most {LARGEST} bytes of JSON.")
    dialect = schema.get("$schema", _DIALECT)
    if not isinstance(dialect, str) or dialect.removesuffix("#") != _DIALECT:
        _refuse("/$schema", f"The dialect has to be {_DIALECT}, or left out.")
    size = _measure(schema)
    try:
        validator = jsonschema_rs.Draft202012Validator(
            dict(schema), validate_formats=True, pattern_options=_PATTERNS, offline=True
        )
        return Compiled(validator, size)
    except jsonschema_rs.ValidationError as error:
        raise _invalid(_pointer(error.instance_path), error.message) from None
    except jsonschema_rs.ReferencingError as error:
        raise _invalid("", str(error)) from None
    except ValueError as error:  # a pattern too large to compile, for one
        raise _invalid("", str(error)) from None


def faults(schema: Compiled, value: Json, at: str) -> Iterator[Fault]:
    """What in `value`, which stands at the JSON Pointer `at`, does not keep to the schema; `FAULTS` at most, and one where
    looking for all of them could cost too much."""
    cost = schema.size * _values(value)
    if cost > COSTLIEST:
        why = "Settings and schema together are too large: have fewer members, or a schema of fewer parts."
        yield Fault(at, "settings_schema", why)
        return
    if schema.validator.is_valid(value):
        return
    for number, error in enumerate(schema.validator.iter_errors(value) if cost <= _LISTED else _first(schema, value)):
        if number == FAULTS:
            return
        yield Fault(at + _pointer(error.instance_path), "settings_schema", error.message[:500])


def merged(target: Json, patch: Json) -> Json:
    """`target` changed by a JSON merge patch (RFC 7396); neither of them is altered."""
    if not isinstance(patch, dict):
        return patch
    result = dict(target) if isinstance(target, dict) else {}
    for name, value in patch.items():
        if value is None:
            result.pop(name, None)
        else:
            result[name] = merged(result.get(name), value)
    return result


_DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"


def _first(schema: Compiled, value: Json) -> Iterator[jsonschema_rs.ValidationError]:
    try:
        schema.validator.validate(value)
    except jsonschema_rs.ValidationError as error:
        yield error


def _values(value: Json) -> int:
    """Values in a value, itself included, level by level: settings may be deeper than Python's stack."""
    number, layer = 0, [value]
    while layer:
        number += len(layer)
        nested = (item.values() if isinstance(item, dict) else item for item in layer if isinstance(item, dict | list))
        layer = [inner for values in nested for inner in values]
    return number


def _measure(schema: Mapping[str, Json]) -> int:
    """Subschemas. Refuses references beyond `$defs`, schemas that contain themselves, and those that unfold to too many."""
    definitions = schema.get("$defs", {})
    definitions = definitions if isinstance(definitions, dict) else {}
    sizes: dict[str, int] = {}
    unfolding: set[str] = set()

    def size(part: Json, pointer: str, *, named: bool = False) -> int:
        """`named`: the members of `part` are schemas, and their names say nothing."""
        if isinstance(part, list):
            return sum(size(item, f"{pointer}/{number}") for number, item in enumerate(part))
        if not isinstance(part, dict):
            return 0
        total = 1
        for name, item in part.items():
            where = f"{pointer}/{name}"
            if named:
                total += size(item, where) + (PATTERN if pointer.endswith("/patternProperties") else 0)
                continue
            if name in ("$dynamicRef", "$dynamicAnchor", "$anchor", "$id", "$recursiveRef"):
                _refuse(where, f"{name} is not supported: refer to definitions with $ref.")
            if name in ("default", "examples"):
                continue
            if name in ("const", "enum"):
                total += _values(item)
                continue
            if name == "$ref" and isinstance(item, str):
                total += referred(item, where)
            elif name == "pattern":
                total += PATTERN
            elif not (name == "$defs" and not pointer):
                total += size(item, where, named=name in _MAPS)
        if not named and not part.keys().isdisjoint(_AGAIN):
            total *= AGAIN
        if total > MOST:
            _refuse(pointer, f"The schema has more than {MOST} subschemas when every reference is written out.")
        return total

    def referred(reference: str, where: str) -> int:
        name = reference.removeprefix(_HERE)
        if name == reference or name not in definitions or _NAME.fullmatch(name) is None:
            _refuse(where, f"A reference has to name a definition of the same schema, {_HERE}NAME.")
        if name in unfolding:
            _refuse(where, "The schema contains itself by this reference.")
        if name not in sizes:
            unfolding.add(name)
            sizes[name] = size(definitions[name], f"/$defs/{name}")
            unfolding.remove(name)
        return sizes[name]

    for name in definitions:
        if _NAME.fullmatch(name) is None:
            _refuse(f"/$defs/{name}", "A definition's name has letters, digits, _, - and . only.")
        referred(_HERE + name, f"/$defs/{name}")
    return size(schema, "") + sum(sizes.values())


def _pointer(path: list[str | int]) -> str:
    return "".join("/" + str(part).replace("~", "~0").replace("/", "~1") for part in path)


def _refuse(pointer: str, why: str) -> NoReturn:
    raise _invalid(pointer, why)


def _invalid(pointer: str, why: str) -> Invalid:
    fault = Fault(f"/schema{pointer}", "invalid_schema", why[:500])
    return Invalid("This is no JSON Schema that settings can keep to.", reason="invalid_schema", faults=[fault])
