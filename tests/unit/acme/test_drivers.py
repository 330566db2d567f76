"""The table of drivers."""

from __future__ import annotations

import subprocess
import sys
from importlib import import_module

import pytest

from acme import drivers


@pytest.mark.parametrize("scheme", sorted(drivers.DRIVERS))
def test_every_scheme_leads_to_a_module_that_opens(scheme: str) -> None:
    assert callable(drivers.driver(f"{scheme}:").open)


def test_an_unknown_scheme_is_answered_with_those_there_are() -> None:
    with pytest.raises(ValueError, match=r"no driver for oracle:; there are .*postgresql:") as caught:
        drivers.open("oracle://user:secret@db/users")
    assert "secret" not in str(caught.value)


def test_a_text_without_a_scheme_is_no_url() -> None:
    with pytest.raises(ValueError, match="begins with a scheme"):
        drivers.driver("secret")


def test_a_driver_is_imported_when_it_is_first_opened_and_not_before() -> None:
    import_module("acme.drivers")
    code = "import acme.drivers, sys; assert 'asyncpg' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
