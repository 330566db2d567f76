"""The source tree as the house tests see it: which files there are, and their parsed form."""

from __future__ import annotations

import ast
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[2]
"""The repository."""

GENERATED: Final = "acme/contracts/"
"""Written by `make proto`; the rules of the house hold for its generator instead."""


@cache
def files() -> tuple[str, ...]:
    """Every file of the repository that git keeps or would keep, as a path relative to `ROOT`, sorted."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    listed = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    return tuple(sorted(name for name in set(listed.split("\0")) if name and (ROOT / name).is_file()))


@cache
def sources(*tops: str) -> tuple[str, ...]:
    """Python files below these folders, hand-written ones only."""
    return tuple(
        name
        for name in files()
        if name.endswith(".py") and name.split("/")[0] in tops and not name.startswith(GENERATED)
    )


@cache
def text(name: str) -> str:
    """Content of a file; undecodable bytes are replaced."""
    return (ROOT / name).read_text(encoding="utf-8", errors="replace")


@cache
def parsed(name: str) -> ast.Module:
    """Syntax tree of a Python file."""
    return ast.parse(text(name), filename=name)


@cache
def nodes(name: str) -> tuple[ast.AST, ...]:
    """All of them, in the order of `ast.walk`. Many rules look at each: walking took most of their time."""
    return tuple(ast.walk(parsed(name)))


def with_ancestors(tree: ast.AST) -> Iterator[tuple[ast.AST, tuple[ast.AST, ...]]]:
    """Every node with its ancestors, the nearest last."""
    stack: list[tuple[ast.AST, tuple[ast.AST, ...]]] = [(tree, ())]
    while stack:
        node, ancestors = stack.pop()
        yield node, ancestors
        stack.extend((child, (*ancestors, node)) for child in ast.iter_child_nodes(node))


def docstrings(tree: ast.AST) -> set[int]:
    """`id` of every constant that is documentation: a string that stands alone as a statement."""
    return {
        id(node.value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
    }
