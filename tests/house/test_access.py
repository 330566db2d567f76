"""Which methods announce something in the authority's feed: their contract says so (`changes_access`), and no other does."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import Final, TypeAlias

import acme_users

from acme.contract import load

FOLDER: Final = Path(acme_users.__file__).parent
FEED: Final = ("AuthorityStore", "announce")
"""Class and first word of the methods that write into the feed."""

Function: TypeAlias = ast.FunctionDef | ast.AsyncFunctionDef
Place: TypeAlias = tuple[str, Function]
"""A function and the name of its class, "" outside of one."""


class Sources:
    """The plugin's classes and functions, and which function calls which, as far as annotations tell the types."""

    def __init__(self) -> None:
        body = [node for file in FOLDER.rglob("*.py") for node in ast.parse(file.read_text()).body]
        self.classes = {node.name: node for node in body if isinstance(node, ast.ClassDef)}
        self.functions = {node.name: node for node in body if isinstance(node, Function)}

    def bases(self, name: str) -> Iterator[str]:
        """The class and those of the plugin that it inherits from, itself first."""
        yield name
        for base in self.classes[name].bases:
            if isinstance(base, ast.Name) and base.id in self.classes:
                yield from self.bases(base.id)

    def method(self, name: str, method: str) -> Place | None:
        """Where a class has a method from."""
        for base in self.bases(name):
            for node in self.classes[base].body:
                if isinstance(node, Function) and node.name == method:
                    return name, node
        return None

    def attributes(self, name: str) -> dict[str, str]:
        """Type by name of what a class keeps of the arguments that it is made of."""
        found: dict[str, str] = {}
        for base in self.bases(name):
            made = next((n for n in self.classes[base].body if isinstance(n, Function) and n.name == "__init__"), None)
            for node in ast.walk(made) if made is not None else ():
                if isinstance(node, ast.Assign):
                    found = {**dict(_kept(node, _arguments(made))), **found}
        return found

    def called(self, name: str, function: Function) -> Iterator[Place]:
        """What a function mentions of the plugin's own functions and methods."""
        kept = self.attributes(name) if name else {}
        known = {**_arguments(function), "self": name}
        for node in ast.walk(function):
            if isinstance(node, ast.Name) and node.id in self.functions:
                yield "", self.functions[node.id]
            elif isinstance(node, ast.Attribute):
                match node.value:
                    case ast.Name(id=argument):
                        there = known.get(argument, "")
                    case ast.Attribute(value=ast.Name(id="self"), attr=attribute):
                        there = kept.get(attribute, "")
                    case _:
                        there = ""
                if there in self.classes and (place := self.method(there, node.attr)) is not None:
                    yield place

    def announces(self, name: str, function: Function, seen: set[tuple[str, str]]) -> bool:
        """Whether a function comes to write into the feed."""
        if (name, function.name.partition("_")[0]) == FEED:
            return True
        if (name, function.name) in seen:
            return False
        seen.add((name, function.name))
        return any(self.announces(*place, seen) for place in self.called(name, function))


def _arguments(function: Function | None) -> dict[str, str]:
    given = [*function.args.args, *function.args.kwonlyargs] if function is not None else []
    return {each.arg: each.annotation.id for each in given if isinstance(each.annotation, ast.Name)}


def _kept(assignment: ast.Assign, arguments: dict[str, str]) -> Iterator[tuple[str, str]]:
    """`self.a, self.b = a, b` and the like."""
    target, value = assignment.targets[0], assignment.value
    several = isinstance(target, ast.Tuple) and isinstance(value, ast.Tuple)
    for left, right in zip(target.elts, value.elts, strict=True) if several else [(target, value)]:  # type: ignore[attr-defined]  # as `several` says
        if isinstance(left, ast.Attribute):
            if isinstance(right, ast.Name):
                yield left.attr, arguments.get(right.id, "")
            elif isinstance(right, ast.Call) and isinstance(right.func, ast.Name):
                yield left.attr, right.func.id


def test_the_contract_says_of_every_method_whether_it_announces_something() -> None:
    sources, contracts = Sources(), load("acme.contracts")
    announcing, said = set(), set()
    for service in contracts.services.values():
        kept = next((n for n, node in sources.classes.items() if _keeps(node, service.base.__name__)), None)
        for method in service.methods:
            said |= {method.path} if method.changes_access else set()
            if kept is not None and service.file.startswith(("acme/users/", "acme/authority/")):
                place = sources.method(kept, method.attr)
                assert place is not None, method.path
                announcing |= {method.path} if sources.announces(*place, set()) else set()
    assert len(announcing) > 10
    assert announcing == said


def _keeps(node: ast.ClassDef, base: str) -> bool:
    return any(isinstance(each, ast.Name) and each.id == base for each in node.bases)
