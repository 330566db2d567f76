"""Every setting, command, method and event is documented where a reader looks for it, and has a test."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest

from acme.contract import Contracts, Field, Message, Method, load
from tests.house.tree import ROOT, parsed, sources, text

CONTRACTS: Contracts = load("acme.contracts")
OURS = [service for service in CONTRACTS.services.values() if service.name.startswith("acme.")]
METHODS = [method for service in OURS for method in service.methods]
MESSAGES = [
    message
    for message in CONTRACTS.messages.values()
    if message.name.startswith("acme.") and not message.descriptor.GetOptions().map_entry
]
EVENTS = [message for message in MESSAGES if message.event]


# Settings


def decode_settings() -> list[tuple[str, type[msgspec.Struct]]]:
    """(table, type) of every table of the configuration, those of our plugins included."""
    from acme.runtime.discovery import discover  # here, so that a broken discovery fails these tests and no others
    from acme.runtime.settings import SECTIONS

    plugins = [(f"plugins.{plugin.name}", plugin.settings) for _, plugin in discover().usable()]
    return [*SECTIONS.items(), *plugins]


def settings() -> Iterator[tuple[str, str, type[msgspec.Struct]]]:
    """(table, key, type that declares it)."""
    for table, kind in decode_settings():
        for field in msgspec.structs.fields(kind):
            yield table, field.encode_name, kind


def documented() -> dict[tuple[str, str], str]:
    """The comment above or beside each key of `acme.toml`, by (table, key). A commented-out key counts as shown."""
    table, comment, shown = "", "", dict[tuple[str, str], str]()
    for line in text("acme.toml").splitlines():
        bare = line.removeprefix("#").strip()
        if header := re.fullmatch(r"\[([\w.]+)\]\s*(#.*)?", bare):
            parent, _, name = header[1].rpartition(".")
            table = header[1]
            shown[parent, name] = comment or "a table"
            comment = ""
        elif key := re.match(r"([a-z]\w*)\s*=[^#]*(#.*)?$", bare):
            shown[table, key[1]] = comment + (key[2] or "")
        elif line.startswith("#"):
            comment += line
            continue
        if not line.strip():
            comment = ""
    return shown


def test_every_setting_is_in_the_annotated_file_with_a_comment() -> None:
    shown = documented()
    group: dict[str, str] = {}
    missing: list[str] = []
    for table, key, _ in settings():
        comment = shown.get((table, key), "") or group.get(table, "")
        group[table] = comment  # a comment may speak for the keys right below it
        if not comment or (table, key) not in shown:
            missing.append(f"[{table}] {key}")
    assert missing == []


def test_the_annotated_file_shows_settings_that_exist_with_their_defaults() -> None:
    from acme.runtime.settings import Config
    from acme.runtime.settings import load as load_settings

    loaded, default = load_settings([ROOT / "acme.toml"]), Config()
    for section in msgspec.structs.fields(Config):
        if section.name != "plugins":
            assert getattr(loaded, section.name) == getattr(default, section.name), section.name
    for table, kind in decode_settings():
        if table.startswith("plugins."):
            name = table.removeprefix("plugins.")
            shown = loaded.plugins[name].decode(kind) if name in loaded.plugins else kind()
            assert shown == kind(), table


def test_every_setting_says_what_it_is_for_where_it_is_declared() -> None:
    bare: list[str] = []
    for _, key, kind in settings():
        declared = [base for base in kind.__mro__ if key in getattr(base, "__annotations__", {})]
        source = str(declared[0].__module__).replace(".", "/")
        name = next(name for name in sources("acme", "plugins") if re.search(rf"(^|/){source}(/__init__)?\.py$", name))
        classes = [node for node in ast.walk(parsed(name)) if isinstance(node, ast.ClassDef)]
        body = next(node.body for node in classes if node.name == declared[0].__name__)
        for here, after in zip(body, [*body[1:], None], strict=True):
            explained = isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant)
            if isinstance(here, ast.AnnAssign) and getattr(here.target, "id", "") == key and not explained:
                bare.append(f"{declared[0].__name__}.{key}")
    allowed = ["LogSettings.level"]  # its type lists the whole of its meaning
    assert sorted(set(bare) - set(allowed)) == []


# The command line


def commands() -> Iterator[tuple[str, Any]]:
    """(words that call it, click command) of every command."""
    import typer.main

    from acme.cli.app import app

    def walk(command: Any, words: str) -> Iterator[tuple[str, Any]]:
        children = getattr(command, "commands", None)
        if not children:
            yield words, command
        for name, child in (children or {}).items():
            yield from walk(child, f"{words} {name}")

    return walk(typer.main.get_command(app), "acme")


def test_every_command_is_in_the_readme_and_has_help() -> None:
    assert [words for words, command in commands() if not command.help or words not in text("README.md")] == []


def test_every_option_of_a_command_is_in_the_readme_and_has_help() -> None:
    missing: list[str] = []
    for words, command in commands():
        for option in command.params:
            spelled = max(option.opts, key=len)
            shown = spelled in text("README.md") if spelled.startswith("-") else True
            if not option.hidden and (not getattr(option, "help", None) or not shown):
                missing.append(f"{words} {spelled}")
    assert missing == []


def test_every_make_target_is_in_the_readme() -> None:
    targets = re.findall(r"^([a-z]+):.*?## ", text("Makefile"), re.M)
    everyday = [target for target in targets if target not in {"help", "install"}]
    assert [target for target in everyday if f"make {target}" not in text("README.md")] == []


# Contracts


@pytest.mark.parametrize("method", METHODS, ids=lambda method: str(method.path))
def test_every_method_has_a_sentence(method: Method) -> None:
    assert len(method.comment.split()) >= 2


def test_every_service_has_a_sentence() -> None:
    assert [service.name for service in OURS if len(service.comment.split()) < 3] == []


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: str(event.name))
def test_every_event_has_a_sentence(event: Message) -> None:
    assert len(event.comment.split()) >= 3


PLAIN = {
    "id", "name", "email", "password", "display_name", "description", "labels", "created_at", "updated_at", "token",
    "refresh_token", "organization_id", "user_id", "session_id", "project_id", "owner_id", "user", "project", "region",
    "kid", "keys", "changes", "sessions", "projects", "organizations", "user_agent", "address", "email_verified",
    "epoch", "sequence", "expires_at", "verified_at", "revoked_at", "version",
    "members", "invitations", "teams", "roles", "role", "tokens", "service_accounts", "project_name", "project_role",
    "team_id", "role_id", "invitation_id", "inviter_id", "subject_id", "token_id", "service_account_id", "from_user_id",
    "to_user_id", "joined_at", "removed_at", "transferred_at", "accepted_at", "deleted_at", "changed_at", "purged_at",
    "max_length", "maximum", "max_items", "values",
}  # fmt: skip
"""Field names whose meaning is the house's vocabulary wherever they stand (times are UTC, ids typed, version = ETag),
and upper bounds that the comment of the lower bound right above speaks for."""


def needs_a_comment(field: Field) -> bool:
    return field.name not in PLAIN


@pytest.mark.parametrize("message", MESSAGES, ids=lambda message: str(message.name))
def test_every_field_that_its_name_does_not_explain_has_a_comment(message: Message) -> None:
    assert [field.name for field in message.fields if needs_a_comment(field) and not field.comment] == []


def test_every_method_is_tested_through_its_contract() -> None:
    """By its name in the suites that call services through their contracts, or by its own test file's."""
    tests = "\n".join(text(name) for name in sources("tests") if not name.startswith("tests/house/"))
    assert [method.path for method in METHODS if not re.search(rf"\b{method.attr}\b", tests)] == []


def test_every_event_is_named_by_a_test() -> None:
    tests = "\n".join(text(name) for name in sources("tests") if not name.startswith("tests/house/"))
    assert [event.name for event in EVENTS if not re.search(rf"\b{event.cls.__name__}\b", tests)] == []


# Code


def undocumented(name: str) -> list[str]:
    """Public functions and classes on the top level of a module, and the module itself, without a docstring."""
    tree = parsed(name)
    bare = [] if ast.get_docstring(tree) or not tree.body else [f"{name}: the module"]
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) and not node.name.startswith("_"):
            bare += [] if ast.get_docstring(node) else [f"{name}:{node.lineno} {node.name}"]
    return bare


def test_every_public_name_has_a_docstring() -> None:
    assert [line for name in sources("acme", "plugins") for line in undocumented(name)] == []
