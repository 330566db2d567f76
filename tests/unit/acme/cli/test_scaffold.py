"""`acme plugin new`: names, and what is written. That its tests pass is tests/system/test_plugin_author.py's."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from acme.cli.scaffold import ScaffoldError, check_name, check_resource, create, plural, singular, vocabulary


@pytest.mark.parametrize(
    ("one", "many"),
    [
        ("invoice", "invoices"),
        ("company", "companies"),
        ("day", "days"),
        ("box", "boxes"),
        ("address", "addresses"),
        ("branch", "branches"),
        ("line_item", "line_items"),
    ],
)
def test_a_plural_and_its_singular_lead_to_each_other(one: str, many: str) -> None:
    assert (plural(one), singular(many)) == (many, one)


@pytest.mark.parametrize("name", ["billing", "list", "status", "class", "s"])
def test_a_name_that_is_no_plural_needs_a_resource(name: str) -> None:
    with pytest.raises(ScaffoldError, match="--resource"):
        singular(name)


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("Invoices", "lower-case"),
        ("a b", "lower-case"),
        ("../evil", "lower-case"),
        ("_x", "lower-case"),
        ("x2", "lower-case"),
        ("", "lower-case"),
        ("x" * 32, "31 characters"),
        ("gateway", "to the platform"),
        ("users", "is installed"),
        ("tests", "no package"),
        ("class", "no package"),
        ("email", "would hide"),
        ("acme", "to the platform"),
    ],
)
def test_a_name_that_cannot_be_used_is_refused_with_the_reason(name: str, reason: str) -> None:
    with pytest.raises(ScaffoldError, match=reason):
        check_name(name)


@pytest.mark.parametrize(
    ("one", "reason"),
    [
        ("class", "in Python"),
        ("list", "in Python"),
        ("clock", "uses it"),
        ("page", "uses it"),
        ("reference", "word of SQL"),
        ("A", "lower-case"),
    ],
)
def test_a_resource_that_would_clash_is_refused_with_the_reason(one: str, reason: str) -> None:
    with pytest.raises(ScaffoldError, match=reason):
        check_resource(one)


def test_words_fit_into_every_place() -> None:
    words = vocabulary("line_items", "line_item")
    assert (words["One"], words["Plural"], words["route"]) == ("LineItem", "LineItems", "lineItems")
    assert (words["prefix"], words["dist"], words["Words"]) == ("lineitem", "line-items", "Line items")
    assert vocabulary("apples", "apple")["a_word"] == "an apple"


def ruff(folder: Path, *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "ruff", *arguments, "."], cwd=folder, capture_output=True, text=True, timeout=60
    )
    return done.stdout if done.returncode else ""


@pytest.mark.parametrize(
    ("name", "resource"),
    [("invoices", ""), ("subscription_plan_revisions", ""), ("billing", "tax_entry")],
)
def test_what_is_written_is_clean_whatever_the_name(tmp_path: Path, name: str, resource: str) -> None:
    folder = create(name, tmp_path / "new", resource)
    assert folder == tmp_path / "new" / name
    assert ruff(folder, "check") == ruff(folder, "format", "--check") == ""
    assert (folder / name / "contracts" / "descriptors.binpb").is_file()
    written = [path.read_text() for path in folder.rglob("*") if path.suffix in {".py", ".toml", ".md", ".sql"}]
    assert not [text for text in written if "{{" in text]
    assert [path.name for path in (tmp_path / "new").iterdir()] == [name]


def test_a_folder_that_is_there_is_left_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "invoices").mkdir()
    with pytest.raises(ScaffoldError, match="is left as it is"):
        create("invoices", tmp_path)
    assert list((tmp_path / "invoices").iterdir()) == []


def test_a_route_that_another_plugin_has_is_refused_and_nothing_is_left(tmp_path: Path) -> None:
    with pytest.raises(ScaffoldError, match="/v1/projects"):
        create("tasks", tmp_path, "project")
    assert list(tmp_path.iterdir()) == []
