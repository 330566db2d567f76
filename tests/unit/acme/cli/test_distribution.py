"""Which plugin a command is about."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from acme.cli.distribution import NoPlugin, find

PROJECT = '[project]\nname = "x"\n[project.entry-points."acme.plugins"]\n'


@pytest.fixture(autouse=True)
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.chdir(tmp_path)


def test_an_installed_plugin_is_found_by_its_name_and_its_sources_with_it() -> None:
    found = find("projects")
    assert found.point.value == "acme_projects:plugin"
    assert found.folder is None or (found.folder / "pyproject.toml").is_file()
    assert found.installed


@pytest.mark.parametrize("where", [".", "sub", "../sub"])
def test_a_folder_is_found_by_what_its_pyproject_declares(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    folder = tmp_path / "sub"
    folder.mkdir()
    (folder / "pyproject.toml").write_text(PROJECT + 'weather = "weather:plugin"\n')
    monkeypatch.chdir(tmp_path if where == "sub" else folder)
    found = find(where)
    assert (found.point.name, found.point.value, found.folder) == ("weather", "weather:plugin", folder)
    assert sys.path[0] == str(folder)
    assert not found.installed


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (None, "no pyproject.toml that declares one"),
        ("[project]\nname = 'x'\n", "no pyproject.toml that declares one"),
        ("[project", "cannot be read"),
        (PROJECT + 'a = "a:plugin"\nb = "b:plugin"\n', "several plugins: name one of a, b"),
    ],
    ids=["no file", "no plugin", "no toml", "two plugins"],
)
def test_a_folder_without_exactly_one_plugin_is_refused(tmp_path: Path, text: str | None, told: str) -> None:
    if text is not None:
        (tmp_path / "pyproject.toml").write_text(text)
    with pytest.raises(NoPlugin, match=told):
        find(".")
