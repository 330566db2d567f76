"""The declaration of the projects plugin."""

from __future__ import annotations

from importlib.metadata import entry_points
from importlib.resources import files

from acme_projects import plugin

from acme.contracts.projects.v1 import ProjectsBase


def test_the_platform_finds_it_by_its_name() -> None:
    (point,) = {point.value: point for point in entry_points(group="acme.plugins", name=plugin.name)}.values()
    assert point.load() is plugin


def test_it_keeps_the_contract_of_projects_and_brings_its_migrations() -> None:
    assert plugin.contracts == (ProjectsBase,)
    assert [entry.name for entry in files(plugin.package).joinpath("migrations").iterdir()] == ["0001_projects.sql"]
