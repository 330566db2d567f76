"""Validation rules of contracts, compiled for each message that has any, itself or inside of it.

For the first two fields of `CreateProjectRequest` the function is

    def check_CreateProjectRequest(m, at, faults):
        v = m.organization_id
        if v:
            if not is_id(v, 'org'): faults.append(Fault(f'{at}/organization_id', 'id', 'must be an id that ...'))
        v = m.name
        if not v: faults.append(Fault(f'{at}/name', 'required', 'is required'))
        if len(v) > 100: faults.append(Fault(f'{at}/name', 'max_length', 'must have at most 100 characters'))
        if v:
            if breaks_line(v): faults.append(Fault(f'{at}/name', 'format', 'must be one line ...'))

What the rules mean where proto3 leaves it open:

- An empty string without presence is one that was left out: `pattern`, `format` and `id` say nothing about it; `required`
  and `min_length` do. A field with presence that is absent breaks no rule but `required`. Keys and entries are never
  left out.
- On a PATCH (a message with a FieldMask) a field outside of the mask is not said, so its rules do not apply. Fields that
  come from the path or a header are said in any case. Without a mask everything is said.
- A required If-Match that is absent is no fault among others: `Unconditional` is raised, before any rule is looked at.
- Length is in Unicode code points, `max_bytes` in octets of UTF-8. A pattern must match the whole string.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final

from acme.codec.compiler import Compiler, indented
from acme.codec.explain import token
from acme.codec.values import unwrapped
from acme.contract import Contracts, Field, Format, Kind, Message, Rules
from acme.errors import Fault, Unconditional
from acme.ids import is_id

Check = Callable[[Any], tuple[Fault, ...]]

_has_controls: Final = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]").search
_breaks_line: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]").search
_LONGEST_ADDRESS: Final = 254
"""Octets; a path of RFC 5321 section 4.5.3.1.3 without its angle brackets."""
_VARIABLE: Final = re.compile(r"\{([^}=]*)[^}]*\}")


class Checks:
    """The rules of all messages."""

    def __init__(self, contracts: Contracts) -> None:
        self._compiler = _Checker(_said_elsewhere(contracts))

    def check(self, m: Message) -> Check | None:
        """A function that returns the faults of a message, with JSON Pointers; None when the message has no rules.

        It raises `acme.errors.Unconditional` for a message that has to name a version (`Field.condition`) and names none.
        """
        if not _has_rules(m, set()):
            return None
        function = self._compiler.function(m)
        condition = next((f.attr for f in m.fields if f.condition), "")

        def check(message: Any) -> tuple[Fault, ...]:
            if condition and getattr(message, condition) is None:
                raise Unconditional
            faults: list[Fault] = []
            function(message, "", faults)
            return tuple(faults)

        return check


def _said_elsewhere(contracts: Contracts) -> dict[str, frozenset[str]]:
    """By request message, the fields that come from a path or a header."""
    found: dict[str, frozenset[str]] = {}
    for service in contracts.services.values():
        for method in service.methods:
            paths = (name for route in method.routes for name in _VARIABLE.findall(route.template))
            headers = (f.name for f in method.request.fields if f.header)
            found[method.request.name] = found.get(method.request.name, frozenset()).union(paths, headers)
    return found


def _has_rules(m: Message, seen: set[str]) -> bool:
    if m.name in seen:
        return False
    seen.add(m.name)
    return any(
        f.rules is not None or ((inner := _message(f)) is not None and _has_rules(inner, seen)) for f in m.fields
    )


def _message(f: Field) -> Message | None:
    """The message type whose rules hold inside of a field."""
    entry = f.value or f
    return entry.message if unwrapped(entry) is entry else None


class _Checker(Compiler):
    """Message → faults, appended to a list."""

    verb = "check"
    parameters = "m, at, faults"

    def __init__(self, said_elsewhere: dict[str, frozenset[str]]) -> None:
        super().__init__(
            Fault=Fault,
            is_id=is_id,
            is_email=is_email,
            token=token,
            breaks_line=_breaks_line,
            has_controls=_has_controls,
        )
        self._said_elsewhere = said_elsewhere

    def lines(self, m: Message) -> Iterable[str]:
        if m.mask:
            yield f"said = m.{next(f.attr for f in m.fields if f.name == m.mask)}"
            yield "said = None if said is None else said.paths"
        always = self._said_elsewhere.get(m.name, frozenset())
        for f in m.fields:
            if lines := list(self._field(f)):
                if m.mask and f.name not in always:
                    yield f"if said is None or {f.name!r} in said:"
                    lines = list(indented(lines))
                yield from lines
        yield "return"

    def _field(self, f: Field) -> Iterator[str]:
        rules = f.rules or Rules()
        pointer = f"{{at}}/{f.name}"
        many = f.is_map or f.repeated
        lines = list(self._many(f, rules, pointer) if many else self._one(f, rules, pointer, "v"))
        if not lines and (f.condition or not rules.required):
            return
        yield f"v = m.{f.attr}"
        nothing = "v is None" if f.optional and not _is_text(f) else "not v"
        if rules.required and not f.condition:
            yield self._fault(nothing, pointer, "required", "is required")
        if f.optional:
            yield from _block("if v is not None:", lines)
        elif f.kind is Kind.STRING and not many:
            # min_length holds for a string that was left out, the rest does not.
            always, rest = lines[: (n := rules.min_length is not None)], lines[n:]
            yield from always
            yield from _block("if v:", rest)
        else:
            yield from lines

    def _many(self, f: Field, rules: Rules, pointer: str) -> Iterator[str]:
        if rules.min_items:
            yield self._fault(
                f"len(v) < {rules.min_items}",
                pointer,
                "min_items",
                f"must have at least {_count(rules.min_items, 'entry')}",
            )
        if rules.max_items is not None:
            yield self._fault(
                f"len(v) > {rules.max_items}",
                pointer,
                "max_items",
                f"must have at most {_count(rules.max_items, 'entry')}",
            )
        entry_rules = rules.values or Rules()
        if f.key is not None and f.value is not None:
            place = f"{pointer}/{{token(k)}}"
            lines = [
                *self._one(f.key, rules.keys or Rules(), place, "k", "the key "),
                *self._one(f.value, entry_rules, place, "x"),
            ]
            yield from _block("for k, x in v.items():", lines)
        else:
            yield from _block("for i, x in enumerate(v):", list(self._one(f, entry_rules, f"{pointer}/{{i}}", "x")))

    def _one(self, f: Field, rules: Rules, pointer: str, v: str, what: str = "") -> Iterator[str]:
        """The checks of one value that was said; that of `min_length` comes first."""

        def fault(when: str, code: str, message: str) -> str:
            return self._fault(when, pointer, code, what + message)

        inner = unwrapped(f)
        if rules.min_length is not None:
            few = f"must have at least {_count(rules.min_length, 'character')}"
            yield fault(f"len({v}) < {rules.min_length}", "min_length", few)
        if rules.max_length is not None:
            yield fault(
                f"len({v}) > {rules.max_length}",
                "max_length",
                f"must have at most {_count(rules.max_length, 'character')}",
            )
        if rules.max_bytes is not None:
            octets = f"len({v})" if inner.kind is Kind.BYTES else f"len({v}.encode('utf-8', 'surrogatepass'))"
            yield fault(
                f"{octets} > {rules.max_bytes}", "max_bytes", f"must have at most {_count(rules.max_bytes, 'byte')}"
            )
        if rules.pattern:
            pattern = self.bind(re.compile(rules.pattern), "pattern")
            yield fault(f"not {pattern}.fullmatch({v})", "pattern", f"must match {rules.pattern}")
        if rules.id:
            yield fault(f"not is_id({v}, {rules.id!r})", "id", f"must be an id that begins with {rules.id}_")
        if rules.format is Format.EMAIL:
            yield fault(f"not is_email({v})", "email", "must be an e-mail address")
        if rules.format is Format.LINE:
            yield fault(f"breaks_line({v})", "format", "must be one line, without control characters")
        if rules.format is Format.TEXT:
            yield fault(
                f"has_controls({v})", "format", "must be text, without control characters but tabs and line ends"
            )
        if rules.minimum is not None:
            yield fault(f"{v} < {rules.minimum}", "range", f"must be at least {rules.minimum}")
        if rules.maximum is not None:
            yield fault(f"{v} > {rules.maximum}", "range", f"must be at most {rules.maximum}")
        message = _message(f)
        if message is not None and _has_rules(message, set()):
            yield f"{self.call(message)}({v}, f{pointer!r}, faults)"

    def _fault(self, when: str, pointer: str, code: str, message: str) -> str:
        return f"if {when}: faults.append(Fault(f{pointer!r}, {code!r}, {message!r}))"


def _block(head: str, lines: list[str]) -> Iterator[str]:
    """A statement with its block; nothing when the block is empty."""
    if lines:
        yield head
        yield from indented(lines)


def _count(number: int, noun: str) -> str:
    """ "1 entry", "2 entries"."""
    plural = noun.removesuffix("y") + "ies" if noun.endswith("y") else noun + "s"
    return f"{number} {noun if number == 1 else plural}"


def _is_text(f: Field) -> bool:
    return unwrapped(f).kind in (Kind.STRING, Kind.BYTES) and not f.is_map


def is_email(text: str) -> bool:
    """Whether it is an address by RFC 5321 and RFC 6531, as email-validator reads them; at most 254 octets, no display name,
    and a dot in its domain. Nothing is asked of the DNS."""
    import email_validator  # where it is used: loading takes longer than starting a process may wait for

    if len(text.encode("utf-8", "surrogatepass")) > _LONGEST_ADDRESS:
        return False
    try:
        # "test_environment" lets the domain .test (RFC 6761) through, which people try things out with.
        parts = email_validator.validate_email(text, check_deliverability=False, test_environment=True)
    except email_validator.EmailNotValidError:
        return False
    return "." in parts.domain
