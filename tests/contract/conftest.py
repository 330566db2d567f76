"""Passwords are hashed with the least that argon2 does here, in the worker processes of the placement `process` too.

A hash by the parameters of production costs 20 ms of a core, and these tests log in thousands of times, in every placement:
it would be most of what they take. Nothing about passwords is proved here by how slow they are; the parameters have tests of
their own (tests/unit/plugins/acme_users/test_passwords.py), and all of tests/system/ hashes as in production.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.quick_hashes import quick_hashes


@pytest.fixture(scope="module", autouse=True)
def _quick_hashes() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        quick_hashes(patch)
        yield
