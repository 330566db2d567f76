"""`acme plugin new`: a distribution of its own, from the templates in `template/`.

A template is a file as it will be, with `{{words}}` in it. What the templates say once is said for every name: the result
is sorted and formatted by ruff, and the contract's classes are generated, exactly as its author will do it later on.
"""

from __future__ import annotations

import builtins
import importlib.metadata
import importlib.util
import keyword
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Final

import acme
from acme.runtime.discovery import GROUP, NAME, RESERVED

EXTRA: Final = "acme-platform[plugin]"
"""What an author needs beside the platform."""

_WORDS: Final = re.compile(r"[a-z]+(_[a-z]+)*")
_SUFFIX: Final = ".tmpl"
_VARIABLES: Final = frozenset(
    {"created", "found", "id", "message", "name", "other", "owner", "page", "settings", "size", "store", "token"}
)
"""Names that the templates use beside the resource's."""
_CLASSES: Final = frozenset({"Store", "Settings", "Platform", "User", "Client"})
"""Classes that the templates use beside those of `acme`."""
_SQL: Final = frozenset({"analyses", "as", "is", "overlaps", "references"})
"""Words of SQL that end as a plural does."""
_FILES: Final = {
    "pyproject.toml": "pyproject.toml",
    "gitignore": ".gitignore",
    "README.md": "README.md",
    "protos/contract.proto": "protos/{{name}}/v1/{{name}}.proto",
    "package/__init__.py": "{{name}}/__init__.py",
    "package/service.py": "{{name}}/service.py",
    "package/settings.py": "{{name}}/settings.py",
    "package/store.py": "{{name}}/store.py",
    "package/migrations/0001.sql": "{{name}}/migrations/0001_{{plural}}.sql",
    "tests/__init__.py": "tests/__init__.py",
    "tests/conftest.py": "tests/conftest.py",
    "tests/test_contract.py": "tests/test_{{plural}}.py",
    "tests/test_over_http.py": "tests/test_over_http.py",
    "tests/test_store.py": "tests/test_store.py",
}
"""Template → the file that is made of it."""


class ScaffoldError(Exception):
    """It cannot be made; the text says what to do."""


def create(name: str, into: Path, resource: str = "") -> Path:
    """Makes the distribution `into/name` and returns its folder: whole, or not at all.

    `resource` is what the plugin keeps, in the singular; left out, it follows from a name in the plural.

    Raises:
        ScaffoldError: a name that cannot be used, a folder that is there already, tools that are missing, or a route that
            another plugin has.
        OSError: the folder cannot be written.
    """
    folder = into / name
    check_name(name)
    if folder.exists() or folder.is_symlink():
        raise ScaffoldError(f"{folder} is there already, and is left as it is: choose another name, or --into DIR")
    one = resource or singular(name)
    check_resource(one)
    words = vocabulary(name, one)
    into.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{name}-", dir=into) as made:
        draft = Path(made) / name
        render(words, draft)
        _run(
            ["acme.codegen", "--protos", "protos", "--package", f"{name}.contracts", "--out", f"{name}/contracts"],
            draft,
        )
        _run(["ruff", "check", "--quiet", "--select", "I", "--fix", "."], draft)
        _run(["ruff", "format", "--quiet", "."], draft)
        shutil.rmtree(draft / ".ruff_cache", ignore_errors=True)
        draft.rename(folder)
    return folder


def singular(name: str) -> str:
    """ "invoices" → "invoice", "companies" → "company", "boxes" → "box".

    Raises:
        ScaffoldError: the name is no plural that this rule knows.
    """
    for ending, without in (("ies", "y"), ("sses", "ss"), ("xes", "x"), ("ches", "ch"), ("shes", "sh")):
        if name.endswith(ending) and len(name) > len(ending) + 1:
            return name.removesuffix(ending) + without
    if re.search(r"[a-rt-z]s$", name) and not name.endswith("us"):
        return name.removesuffix("s")
    raise ScaffoldError(f"{name!r} is no plural: say what the plugin keeps, in the singular, with --resource")


def plural(one: str) -> str:
    """The inverse of `singular`."""
    if re.search(r"[^aeiou]y$", one):
        return one.removesuffix("y") + "ies"
    return one + ("es" if re.search(r"(s|x|ch|sh)$", one) else "s")


def check_name(name: str) -> None:
    """Whether a plugin, its package and its database can have this name.

    Raises:
        ScaffoldError: they cannot; with the reason.
    """
    _shape(name)
    taken = {point.name for point in importlib.metadata.entry_points(group=GROUP)}
    reasons = (
        (name in RESERVED, "it means something else to the platform"),
        (name in taken, "a plugin of that name is installed"),
        (keyword.iskeyword(name) or name in {"tests", "protos"}, "no package can have that name"),
        (importlib.util.find_spec(name) is not None, "there is a module of that name, which the package would hide"),
    )
    for applies, reason in reasons:
        if applies:
            raise ScaffoldError(f"{name!r} cannot be used: {reason}")


def check_resource(one: str) -> None:
    """Whether variables, classes and a table can be named after this word.

    Raises:
        ScaffoldError: they cannot; with the reason.
    """
    _shape(one)
    reasons = (
        (keyword.iskeyword(one) or hasattr(builtins, one), "it means something else in Python"),
        (
            one in _VARIABLES or _pascal(one) in {*acme.__all__, *dir(builtins), *_CLASSES},
            "the code to be made uses it",
        ),
        (plural(one) in _SQL, f"{plural(one)} is a word of SQL"),
    )
    for applies, reason in reasons:
        if applies:
            raise ScaffoldError(f"{one!r} cannot be used: {reason}. Name another with --resource")


def _shape(word: str) -> None:
    if not _WORDS.fullmatch(word) or not NAME.fullmatch(word):
        raise ScaffoldError(f"{word!r} cannot be used: lower-case words joined by _, at most 31 characters in all")


def vocabulary(name: str, one: str) -> Mapping[str, str]:
    """What the templates' words mean."""
    many, word = plural(one), one.replace("_", " ")
    words = many.replace("_", " ")
    pascal = _pascal(many)
    article = "an" if word[0] in "aeiou" else "a"
    return {
        "name": name,
        "dist": name.replace("_", "-"),
        "one": one,
        "One": _pascal(one),
        "plural": many,
        "Plural": pascal,
        "route": pascal[0].lower() + pascal[1:],
        "word": word,
        "words": words,
        "Words": words[0].upper() + words[1:],
        "a_word": f"{article} {word}",
        "A_word": f"{article.capitalize()} {word}",
        "prefix": one.replace("_", "")[:16],
        "platform": importlib.metadata.version("acme-platform"),
        "api": acme.API_VERSION,
        "next_api": str(int(acme.API_VERSION.partition(".")[0]) + 1),
    }


def render(words: Mapping[str, str], folder: Path) -> None:
    """Writes every template below `folder`, with its words replaced."""
    home = files("acme.cli") / "template"
    for source, target in _FILES.items():
        path = folder / _filled(target, words)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(_filled(_read(home, source + _SUFFIX), words))
    (folder / words["name"] / "py.typed").touch()


def _read(home: Traversable, path: str) -> str:
    return home.joinpath(*path.split("/")).read_text()


def _filled(text: str, words: Mapping[str, str]) -> str:
    return re.sub(r"\{\{(\w+)\}\}", lambda match: words[match[1]], text)


def _run(arguments: list[str], folder: Path) -> None:
    """Runs a module of this environment in `folder`."""
    module = arguments[0]
    needed = {"acme.codegen": ("grpc_tools", "betterproto2_compiler"), "ruff": ("ruff",)}[module]
    if any(importlib.util.find_spec(name) is None for name in needed):
        raise ScaffoldError(f"what generates code is not installed: pip install '{EXTRA}'")
    # Our own interpreter, and arguments of which each was checked.
    done = subprocess.run([sys.executable, "-m", *arguments], cwd=folder, capture_output=True, text=True)  # noqa: S603 - see above
    if done.returncode:
        raise ScaffoldError((done.stderr or done.stdout).strip())


def _pascal(name: str) -> str:
    return "".join(part.capitalize() for part in name.split("_"))
