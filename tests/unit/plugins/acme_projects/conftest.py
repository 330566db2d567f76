"""Tests of one plugin host that plugin alone."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from acme_projects import plugin

from acme.plugin import Plugin


@pytest.fixture(scope="module")
def plugins() -> Sequence[Plugin]:
    return [plugin]
