"""Messages and rules → JSON Schema (draft 2020-12, the dialect of OpenAPI 3.1).

A message has two shapes. What we send always holds plain scalars, lists and maps, and may gain fields; what we take lets
everything be left out that no rule requires, and refuses fields it does not know.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from acme.codec.values import json_bounds, unwrapped
from acme.contract import Choices, Field, Format, Kind, Message, Rules

Schema = dict[str, Any]
Register = Callable[[str, Schema], None]

_WELL_KNOWN: Final[dict[str, Schema]] = {
    "google.protobuf.Timestamp": {"type": "string", "format": "date-time"},
    "google.protobuf.Duration": {"type": "string", "pattern": r"^-?[0-9]+(\.[0-9]{1,9})?s$"},
    "google.protobuf.FieldMask": {"type": "string"},
    "google.protobuf.Struct": {"type": "object"},
    "google.protobuf.ListValue": {"type": "array"},
    "google.protobuf.Value": {},
    "google.protobuf.Empty": {"type": "object"},
}
_FORMATS: Final[dict[Format, Schema]] = {
    Format.EMAIL: {"format": "email", "maxLength": 254},
    Format.LINE: {"pattern": r"^[^\u0000-\u001f\u007f-\u009f\u2028\u2029]*$"},
    Format.TEXT: {"pattern": r"^[^\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f-\u009f]*$"},
}


class Schemas:
    """Builds schemas; each message and enum becomes one component a shape, under its short name."""

    def __init__(self, register: Register) -> None:
        self._register = register
        self._named: dict[tuple[str, bool], str] = {}
        self._taken: set[str] = set()

    def reply(self, message: Message) -> Schema:
        """A reference to the shape we send."""
        return self._ref(message, False)

    def request(self, message: Message, elsewhere: frozenset[str]) -> Schema:
        """The shape we take as a body, without the fields that come from elsewhere. Written out in place."""
        return self._object(message, True, elsewhere)

    def field(self, field: Field, *, taken: bool) -> Schema:
        """The schema of one field with its rules and its comment."""
        if field.is_map and field.key is not None and field.value is not None:
            schema: Schema = {"type": "object", "additionalProperties": self._single(field.value, taken)}
        elif field.repeated:
            schema = {"type": "array", "items": self._single(field, taken)}
        else:
            schema = self._single(field, taken)
        if field.rules is not None and taken:
            schema = _ruled(schema, field.rules)
            if "pattern" in schema and not field.optional and not field.rules.required:
                schema["pattern"] = f"^$|{schema['pattern']}"  # empty means left out
        said = {"description": field.comment} if field.comment else {}
        if field.secret and taken:
            said["format"] = "password"
        # Beside a $ref, other keywords are allowed since draft 2019-09.
        return {**schema, **said}

    def _object(self, message: Message, taken: bool, elsewhere: frozenset[str] = frozenset()) -> Schema:
        fields = [field for field in message.fields if field.name not in elsewhere]
        schema: Schema = {
            "type": "object",
            "properties": {field.name: self.field(field, taken=taken) for field in fields},
        }
        if message.comment:
            schema["description"] = message.comment
        if taken:
            required = [field.name for field in fields if _needed(field, patch=bool(message.mask))]
            schema["additionalProperties"] = False
        else:
            required = [field.name for field in fields if not field.optional]
        if required:
            schema["required"] = required
        return schema

    def _single(self, field: Field, taken: bool) -> Schema:
        field = unwrapped(field)
        message = field.message
        if message is not None:
            known = _WELL_KNOWN.get(message.name)
            return dict(known) if known is not None else self._ref(message, taken)
        match field.kind:
            case Kind.BOOL:
                return {"type": "boolean"}
            case Kind.INT:
                least, most = json_bounds(field)
                size = "int64" if most > 2**32 else "int32"
                return {"type": "integer", "format": size, "minimum": least, "maximum": most}
            case Kind.FLOAT:
                return {"type": "number"}
            case Kind.BYTES:
                return {"type": "string", "contentEncoding": "base64"}
            case Kind.ENUM if field.choices is not None:
                return self._enum(field.choices)
        return {"type": "string"}

    def _ref(self, message: Message, taken: bool) -> Schema:
        name = self._named.get((message.name, taken))
        if name is None:
            name = self._free(message.name, "Input" if taken else "")
            self._named[message.name, taken] = name  # before its fields: a message may contain itself
            self._register(name, self._object(message, taken))
        return {"$ref": f"#/components/schemas/{name}"}

    def _enum(self, choices: Choices) -> Schema:
        name = self._named.get((choices.name, False))
        if name is None:
            name = self._named[choices.name, False] = self._free(choices.name, "")
            lines = [choices.comment, *(f"- {v.name}: {v.comment}" for v in choices.values if v.comment)]
            schema: Schema = {"type": "string", "enum": [value.name for value in choices.values]}
            if description := "\n".join(line for line in lines if line):
                schema["description"] = description
            self._register(name, schema)
        return {"$ref": f"#/components/schemas/{name}"}

    def _free(self, full: str, suffix: str) -> str:
        """The short name, or the full one when another type has the short one."""
        short = full.rpartition(".")[2] + suffix
        name = short if short not in self._taken else full + suffix
        self._taken.add(name)
        return name


def _needed(field: Field, *, patch: bool) -> bool:
    """Whether leaving a field out breaks its rules: without presence it counts as 0 or empty then, except in a PATCH."""
    rules = field.rules
    if rules is None or rules.required:
        return rules is not None
    if patch or field.optional:
        return False
    if field.repeated or field.is_map:
        return bool(rules.min_items)
    if field.kind is Kind.INT:
        return (rules.minimum or 0) > 0 or (rules.maximum is not None and rules.maximum < 0)
    return bool(rules.min_length)


def _ruled(schema: Schema, rules: Rules) -> Schema:
    ruled = dict(schema)
    many = schema.get("type")
    if rules.format is not None:
        ruled |= _FORMATS[rules.format]
    if rules.required and many == "string":
        ruled["minLength"] = 1
    for name, value in (
        ("minLength", rules.min_length),
        ("maxLength", rules.max_length if rules.max_length is not None else rules.max_bytes),
        ("minimum", rules.minimum),
        ("maximum", rules.maximum),
        ("minProperties" if many == "object" else "minItems", rules.min_items),
        ("maxProperties" if many == "object" else "maxItems", rules.max_items),
    ):
        if value is not None:
            ruled[name] = value
    if rules.pattern:
        ruled["pattern"] = f"^(?:{rules.pattern})$"
    if rules.id:
        ruled["pattern"] = f"^{rules.id}_[0-7][0-9a-hjkmnp-tv-z]{{25}}$"
    if rules.keys is not None:
        ruled["propertyNames"] = _ruled({"type": "string"}, rules.keys)
    if rules.values is not None:
        inner = "additionalProperties" if many == "object" else "items"
        ruled[inner] = _ruled(schema[inner], rules.values)
    return ruled
