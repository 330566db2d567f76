"""Single values: what JSON allows a field to hold, in words and as types, and the conversions that compiled code calls.

The google types that JSON writes as something other than an object are one table, `WELL_KNOWN`.
"""

from __future__ import annotations

import math
import re
import struct
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Annotated, Any, Final, Literal, TypeVar

from msgspec import Meta

from acme.contract import Field, Kind
from acme.contracts.google.protobuf import FieldMask, ListValue, NullValue, Struct, Value

K = TypeVar("K", str, int)
V = TypeVar("V")

SAFE: Final = 2**53 - 1
"""Greatest integer that every JSON reader keeps exact (RFC 8259, section 6)."""

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)
_LONGEST: Final = timedelta(seconds=315_576_000_000)
"""Greatest google.protobuf.Duration: about 10,000 years."""
_FLOAT32: Final = struct.Struct("<f")
_GREATEST_FLOAT32: Final = 3.4028234663852886e38
_DURATION: Final = re.compile(r"-?[0-9]{1,12}(?:\.[0-9]{1,9})?s")


# --- what compiled code calls -----------------------------------------------------------------------------------------


def utc(value: datetime) -> datetime:
    """The moment in UTC. ValueError when the value has no zone, or is beyond the years 1 to 9999 in UTC."""
    if value.tzinfo is UTC:
        return value
    if value.tzinfo is None:
        raise ValueError("a time needs a zone")
    try:
        return value.astimezone(UTC)
    except OverflowError as error:
        raise ValueError("a time is in the years 1 to 9999") from error


def span(value: timedelta) -> timedelta:
    """The value itself. ValueError when it is longer than the wire carries."""
    if not -_LONGEST <= value <= _LONGEST:
        raise ValueError("a duration is at most 315,576,000,000 seconds")
    return value


def ordered(entries: dict[K, V]) -> dict[K, V]:
    """The entries of a map by key, text by code point. Every process has them in this order: see wire.py.

    The same map where they are in order.
    """
    keys = sorted(entries)
    return entries if keys == [*entries] else {key: entries[key] for key in keys}


def seconds_and_nanos(value: timedelta) -> tuple[int, int]:
    """A timedelta as protobuf splits it: both parts have the same sign."""
    microseconds = value // _MICROSECOND
    seconds, rest = divmod(abs(microseconds), 1_000_000)
    return (seconds, rest * 1000) if microseconds >= 0 else (-seconds, -rest * 1000)


def duration_text(value: timedelta) -> str:
    """1.5 seconds → "1.500s", with 0, 3 or 6 decimals as protobuf's JSON has them."""
    seconds, nanos = seconds_and_nanos(span(value))
    micros = abs(nanos) // 1000
    sign = "-" if value < timedelta(0) else ""
    decimals = f".{micros:06d}".removesuffix("000") if micros else ""
    return f"{sign}{abs(seconds)}{decimals}s"


def duration(text: str) -> timedelta:
    """ "1.5s" → 1.5 seconds; digits below a microsecond are dropped."""
    if not _DURATION.fullmatch(text):
        raise ValueError("must be a duration in seconds, such as 1.5s")
    return span(timedelta(microseconds=int(Decimal(text[:-1]) * 1_000_000)))


def finite(value: float) -> float:
    """The value itself. ValueError for NaN and infinities, which JSON lacks."""
    if math.isfinite(value):
        return value
    raise ValueError("JSON has no NaN and no infinity")


def safe(value: int) -> int:
    """The value itself. ValueError for an integer that JSON readers would round."""
    if -SAFE <= value <= SAFE:
        return value
    raise ValueError("an integer is beyond ±(2^53 - 1), which JSON readers round")


def single(value: float) -> float:
    """The nearest 32-bit float. ValueError when there is none."""
    try:
        rounded: float = _FLOAT32.unpack(_FLOAT32.pack(value))[0]
    except (OverflowError, struct.error) as error:
        raise ValueError("a float is out of the range of 32 bits") from error
    return rounded


class Names(dict[int, str | int]):
    """Names of an enum by number. A number without a name, which a newer sender may know, stands for itself."""

    def __missing__(self, number: int) -> int:
        return int(number)


class Members(dict[int, Any]):
    """Members of an enum by number, made when there is none yet."""

    def __init__(self, cls: Callable[[int], Any]) -> None:
        super().__init__()
        self._cls = cls

    def __missing__(self, number: int) -> Any:
        # Not kept: numbers without a name come from outside, and there are four billion of them.
        return self._cls(number)


def struct_of(value: dict[str, Any]) -> Struct:
    """A plain JSON object → google.protobuf.Struct."""
    return Struct(fields={key: value_of(item) for key, item in value.items()})


def list_of(value: list[Any]) -> ListValue:
    """A plain JSON array → google.protobuf.ListValue."""
    return ListValue(values=[value_of(item) for item in value])


def value_of(value: Any) -> Value:
    """Any plain JSON value → google.protobuf.Value. Numbers become doubles."""
    match value:
        case None:
            return Value(null_value=NullValue.NULL_VALUE)
        case bool():
            return Value(bool_value=value)
        case int() | float():
            return Value(number_value=float(value))
        case str():
            return Value(string_value=value)
        case dict():
            return Value(struct_value=struct_of(value))
        case _:
            return Value(list_value=list_of(value))


def plain_struct(value: Struct) -> dict[str, Any]:
    """The reverse of `struct_of`."""
    return {key: plain(item) for key, item in value.fields.items()}


def plain_list(value: ListValue) -> list[Any]:
    """The reverse of `list_of`."""
    return [plain(item) for item in value.values]


def plain(value: Value) -> Any:
    """The reverse of `value_of`; a whole number is printed as one."""
    if value.string_value is not None:
        return value.string_value
    if value.number_value is not None:
        number = float(finite(value.number_value))  # who makes a Value by hand writes 1
        return int(number) if number.is_integer() and -SAFE <= number <= SAFE else number
    if value.bool_value is not None:
        return value.bool_value
    if value.struct_value is not None:
        return plain_struct(value.struct_value)
    if value.list_value is not None:
        return plain_list(value.list_value)
    return None


def mask(text: str) -> FieldMask:
    """ "name,labels" → google.protobuf.FieldMask, with the names of the contract as they are."""
    return FieldMask(paths=text.split(",") if text else [])


def mask_text(value: FieldMask) -> str:
    """The reverse of `mask`."""
    return ",".join(value.paths)


# --- what JSON allows -------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class WellKnown:
    """How JSON writes a google type. `read` and `write` convert between what msgspec handles and the message's
    value. `plain` is the JSON type as `json.loads` gives it."""

    type: Any
    plain: type
    allowed: str
    read: Callable[[Any], Any]
    write: Callable[[Any], Any]


_G: Final = "google.protobuf."
STRUCT: Final = f"{_G}Struct"
ANY: Final = WellKnown(Any, object, "any value", value_of, plain)
"""google.protobuf.Value, the one type for which null is a value."""

WELL_KNOWN: Final[dict[str, WellKnown]] = {
    f"{_G}Timestamp": WellKnown(
        Annotated[datetime, Meta(tz=True)],
        str,
        "a time of RFC 3339 with a zone, such as 2026-01-31T12:00:00Z",
        utc,
        utc,
    ),
    f"{_G}Duration": WellKnown(str, str, "a duration in seconds, such as 1.5s", duration, duration_text),
    f"{_G}FieldMask": WellKnown(str, str, "names of fields, separated by commas", mask, mask_text),
    STRUCT: WellKnown(dict[str, Any], dict, "an object", struct_of, plain_struct),
    f"{_G}ListValue": WellKnown(list[Any], list, "an array", list_of, plain_list),
    f"{_G}Value": ANY,
}

WRAPPERS: Final = frozenset(
    f"{_G}{of}Value" for of in ("Bool", "Int32", "Int64", "UInt32", "UInt64", "Float", "Double", "String", "Bytes")
)
"""Messages of one field that JSON and our classes write as that field's value, or None."""


def unwrapped(field: Field) -> Field:
    """The field that says what its values are: the one inside of a wrapper, else the field itself."""
    if field.message is not None and field.message.name in WRAPPERS:
        return field.message.fields[0]
    return field


def well_known(field: Field) -> WellKnown | None:
    """How JSON writes the field's values, when they are of a google type of the table."""
    return WELL_KNOWN.get(field.message.name) if field.message is not None else None


def json_bounds(field: Field) -> tuple[int, int]:
    """Least and greatest integer JSON may hold for the field: what the wire carries, and no more than readers keep."""
    low, high = field.bounds
    return max(low, -SAFE), min(high, SAFE)


def is_single(field: Field) -> bool:
    """Whether a FLOAT field has 32 bits."""
    return field.descriptor.type == field.descriptor.TYPE_FLOAT


def json_type(field: Field) -> Any:
    """The type msgspec decodes one value of a field to; None for a message that JSON writes as an object."""
    field = unwrapped(field)
    if field.choices is not None:
        return Literal[tuple(choice.name for choice in field.choices.values)]
    if field.message is not None:
        known = well_known(field)
        return known.type if known is not None else None
    if field.kind is Kind.INT:
        low, high = json_bounds(field)
        return Annotated[int, Meta(ge=low, le=high)]
    if field.kind is Kind.FLOAT and is_single(field):
        return Annotated[float, Meta(ge=-_GREATEST_FLOAT32, le=_GREATEST_FLOAT32)]
    return {Kind.BOOL: bool, Kind.FLOAT: float, Kind.STRING: str, Kind.BYTES: bytes}[field.kind]


def allowed(field: Field) -> str:
    """What one value of a field may be, for people: "a string", "an integer from 0 to 5"."""
    field = unwrapped(field)
    if field.choices is not None:
        return "one of " + ", ".join(choice.name for choice in field.choices.values)
    if field.message is not None:
        known = well_known(field)
        return known.allowed if known is not None else "an object"
    if field.kind is Kind.INT:
        low, high = json_bounds(field)
        return f"an integer from {low} to {high}"
    names = {Kind.BOOL: "true or false", Kind.FLOAT: "a number", Kind.STRING: "a string", Kind.BYTES: "bytes in base64"}
    return names[field.kind]
