"""Passwords are hashed with the least that argon2 does here, except in the processes of the placement `process`.

A hash by the parameters of production costs 20 ms of a core, and these tests log in thousands of times, in every placement:
it would be most of what they take. Nothing about passwords is proved here by how slow they are; the parameters have tests of
their own (tests/unit/plugins/acme_users/test_passwords.py), and workers of their own processes and all of tests/system/ hash
as in production.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator

import pytest
from acme_users import passwords
from argon2 import PasswordHasher


@pytest.fixture(scope="module", autouse=True)
def _quick_hashes() -> Iterator[None]:
    quick = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(passwords, "ARGON2", quick)
        patch.setattr(passwords, "_NOBODY", quick.hash(secrets.token_hex()))  # whom nobody knows takes no longer
        yield
