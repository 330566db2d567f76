"""What the test kit offers by name."""

from __future__ import annotations

import subprocess
import sys

import pytest

from acme import testing


@pytest.mark.parametrize("name", testing.__all__)
def test_every_name_of_the_kit_can_be_imported(name: str) -> None:
    assert getattr(testing, name) is not None


def test_a_name_the_kit_does_not_have_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="Platfrom"):
        _ = testing.Platfrom


def test_naming_the_kit_imports_none_of_it() -> None:
    program = "import sys, acme.testing; sys.exit(any(name.startswith('acme.testing.') for name in sys.modules))"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
