"""Passwords are hashed with the least that argon2 does: of `quick_hashes`, and in processes that run this file.

A hash by the parameters of production costs 20 to 30 ms of a core. tests/conftest.py has the worker processes of the
placement `process` run this file; tests/contract and tests/unit/plugins/acme_users say so in their conftest.py.
"""

from __future__ import annotations

import secrets

import pytest
from acme_users import passwords
from argon2 import PasswordHasher


def quick_hashes(patch: pytest.MonkeyPatch) -> None:
    """Until `patch` is undone."""
    quick = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
    patch.setattr(passwords, "ARGON2", quick)
    patch.setattr(passwords, "_NOBODY", quick.hash(secrets.token_hex()))  # whom nobody knows takes no longer


if __name__ == "<run_path>":
    quick_hashes(pytest.MonkeyPatch())
