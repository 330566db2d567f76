"""google.api.http templates → trie.

The raw path is matched, segment by segment, as it was sent: no escape is undone, no dot segment is resolved and no slash is
merged before the route is known, so that what was authorised is what runs. A custom verb is what follows the last colon
of the last segment. Literals win over variables at every segment; a variable is one segment and never empty.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Final, Generic, TypeVar
from urllib.parse import unquote_to_bytes

from acme.errors import Malformed

T = TypeVar("T")

_VARIABLE: Final = re.compile(r"\{([^{}=]+)(?:=\*)?\}")
_LITERAL: Final = re.compile(r"[A-Za-z0-9._~-]+")
_PLAIN: Final = re.compile(r"[A-Za-z0-9._~!$&'()*+,;=:@-]+")  # RFC 3986, pchar without escapes
_ESCAPED: Final = re.compile(r"(?:[A-Za-z0-9._~!$&'()*+,;=:@-]|%[0-9A-Fa-f]{2})+")


class Leaf(Generic[T]):
    """A path: what each HTTP method leads to."""

    __slots__ = ("targets", "template")

    def __init__(self, template: str) -> None:
        self.template = template
        self.targets: dict[str, T] = {}

    @property
    def allow(self) -> str:
        """The value of an Allow header; HEAD is wherever GET is."""
        verbs = sorted({*self.targets, "HEAD"} if "GET" in self.targets else self.targets)
        return ", ".join(verbs)


class _Node(Generic[T]):
    __slots__ = ("ends", "literals", "variable")

    def __init__(self) -> None:
        self.literals: dict[str, _Node[T]] = {}
        self.variable: _Node[T] | None = None
        self.ends: dict[str, Leaf[T]] = {}  # by custom verb, "" for none


class Routes(Generic[T]):
    """A set of routes."""

    def __init__(self) -> None:
        # Nearly all paths are literal, or literal up to a last variable: those take a lookup or two. The trie has all.
        self.literal: dict[str, Leaf[T]] = {}
        """Leaves of templates without variables: the template is the path."""
        self._last: dict[str, dict[str, Leaf[T]]] = {}
        self._root: _Node[T] = _Node()

    def add(self, verb: str, template: str, target: T) -> tuple[str, ...]:
        """Adds a route and returns the names of its variables, in the order of the path.

        Raises:
            ValueError: the template is malformed, spans segments (`**`), or is taken.
        """
        path, _, custom = template.rpartition(":") if ":" in template.rpartition("/")[2] else (template, "", "")
        names: list[str] = []
        node = self._root
        for part in path.split("/")[1:]:
            variable = _VARIABLE.fullmatch(part)
            if variable is not None:
                names.append(variable[1])
                node.variable = node = node.variable or _Node()
            elif _LITERAL.fullmatch(part) or template == "/":
                node = node.literals.setdefault(part, _Node())
            else:
                raise ValueError(f"route {template}: {part!r} is neither a name nor {{variable}}")
        leaf = node.ends.setdefault(custom, Leaf(template))
        if leaf.targets.setdefault(verb, target) is not target:
            raise ValueError(f"route {verb} {template} is taken")
        if not names:
            self.literal[template] = leaf
        elif len(names) == 1 and path.endswith("}"):
            self._last.setdefault(path.rpartition("/")[0], node.ends)
        return tuple(names)

    def remove(self, template: str) -> None:
        """Takes back what was added for a path without variables and custom verb."""
        del self.literal[template]
        node = self._root
        for part in template.split("/")[1:]:
            node = node.literals[part]
        del node.ends[""]

    def find(self, path: str) -> tuple[Leaf[T], Sequence[str]] | None:
        """The leaf of a raw path without its query, and the raw values of its variables; `None` when nothing matches."""
        leaf = self.literal.get(path)
        if leaf is not None:
            return leaf, ()
        head, slash, last = path.rpartition("/")
        if not slash:
            return None
        custom = ""
        if ":" in last:
            last, _, custom = last.rpartition(":")
        ends = self._last.get(head)
        if ends is not None and last:
            leaf = ends.get(custom)
            if leaf is not None:
                return leaf, (last,)
        parts = [*head.split("/"), last]
        values: list[str] = []
        leaf = _walk(self._root, parts, 1, custom, values)
        return None if leaf is None else (leaf, values)

    def __iter__(self) -> Iterator[Leaf[T]]:
        """Every leaf once, in no particular order."""
        nodes = [self._root]
        while nodes:
            node = nodes.pop()
            yield from node.ends.values()
            nodes += node.literals.values()
            if node.variable is not None:
                nodes.append(node.variable)


def _walk(node: _Node[T], parts: list[str], index: int, custom: str, values: list[str]) -> Leaf[T] | None:
    if index == len(parts):
        return node.ends.get(custom)
    part = parts[index]
    child = node.literals.get(part)
    if child is not None:
        leaf = _walk(child, parts, index + 1, custom, values)
        if leaf is not None:
            return leaf
    child = node.variable
    if child is not None and part:
        values.append(part)
        leaf = _walk(child, parts, index + 1, custom, values)
        if leaf is not None:
            return leaf
        values.pop()
    return None


def segment(raw: str) -> str:
    """The value of a path variable: percent-escapes undone once, UTF-8, no control characters.

    Raises:
        Malformed: characters that a path may not hold, broken escapes, dot segments.
    """
    if _PLAIN.fullmatch(raw):
        if raw not in (".", ".."):
            return raw
    elif _ESCAPED.fullmatch(raw):
        try:
            text = unquote_to_bytes(raw).decode()
        except UnicodeDecodeError:
            text = ""
        if text and text not in (".", "..") and text.isprintable():
            return text
    raise Malformed("The path holds a segment that is not allowed.", reason="malformed_path")


def query(raw: str) -> Mapping[str, list[str]]:
    """The parameters of a raw query string (application/x-www-form-urlencoded), each with its values in order.

    Raises:
        Malformed: broken escapes, not UTF-8, NUL.
    """
    found: dict[str, list[str]] = {}
    for pair in raw.split("&"):
        if pair:
            name, _, value = pair.partition("=")
            found.setdefault(_unquote(name), []).append(_unquote(value))
    return found


_BROKEN: Final = re.compile(r"%(?![0-9A-Fa-f]{2})")


def _unquote(raw: str) -> str:
    if raw.isascii() and raw.isprintable():
        if "%" not in raw and "+" not in raw:
            return raw
        if _BROKEN.search(raw) is None:
            try:
                text = unquote_to_bytes(raw.replace("+", " ")).decode()
            except UnicodeDecodeError:
                text = "\0"
            if "\0" not in text:
                return text
    raise Malformed("The query string holds broken percent-escapes or characters.", reason="malformed_query")
