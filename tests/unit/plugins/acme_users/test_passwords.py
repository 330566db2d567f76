"""Passwords: the hash, and how many of them are made."""

from __future__ import annotations

import asyncio
import os
import sys
import threading
from collections.abc import Iterator

import pytest
from acme_users import passwords as module
from acme_users.passwords import ARGON2, Passwords
from argon2 import PasswordHasher

from acme import Unavailable
from acme.drivers.vault import Vault

GOOD = "correct horse battery staple"


@pytest.fixture
def vault() -> Vault:
    return Vault(bytes(32))


@pytest.fixture
def passwords(vault: Vault) -> Iterator[Passwords]:
    with Passwords(vault, threads=2, queue=8) as made:
        yield made


async def test_a_hash_matches_its_password_and_no_other(passwords: Passwords) -> None:
    kept = await passwords.hash(GOOD)
    assert await passwords.matches(kept, GOOD)
    assert not await passwords.matches(kept, GOOD + " ")


async def test_spellings_that_normalise_alike_are_one_password(passwords: Passwords) -> None:
    kept = await passwords.hash("zo\u00eb\u2019s \ufb01rst password")
    assert await passwords.matches(kept, "zoe\u0308\u2019s first password")


async def test_two_hashes_of_one_password_differ(passwords: Passwords) -> None:
    assert await passwords.hash(GOOD) != await passwords.hash(GOOD)


async def test_what_is_kept_shows_neither_algorithm_nor_password(passwords: Passwords) -> None:
    kept = await passwords.hash(GOOD)
    assert b"argon2" not in kept
    assert GOOD.encode() not in kept


async def test_a_stolen_hash_is_useless_without_the_master_secret(passwords: Passwords) -> None:
    kept = await passwords.hash(GOOD)
    with (
        Passwords(Vault(bytes(31) + b"\x01"), threads=1, queue=1) as thief,
        pytest.raises(ValueError, match="sealed with another key"),
    ):
        await thief.matches(kept, GOOD)


async def test_every_answer_costs_one_computation(passwords: Passwords) -> None:
    kept = await passwords.hash(GOOD)
    for stored, password in [(kept, GOOD), (kept, "wrong"), (None, GOOD), (None, "")]:
        before = passwords.computations
        await passwords.matches(stored, password)
        assert passwords.computations == before + 1


async def test_nobody_matches_even_with_a_password_of_its_own(passwords: Passwords) -> None:
    assert not await passwords.matches(None, GOOD)


def test_comparing_with_nobody_costs_what_comparing_with_somebody_costs() -> None:
    assert not ARGON2.check_needs_rehash(module._NOBODY)
    assert (ARGON2.memory_cost, ARGON2.time_cost, ARGON2.parallelism) == (19 * 1024, 2, 1)


async def test_a_hash_of_other_parameters_is_outdated(passwords: Passwords, vault: Vault) -> None:
    old = PasswordHasher(time_cost=1, memory_cost=8192, parallelism=1).hash(GOOD)
    kept = vault.seal("passwords", old.encode())
    assert await passwords.matches(kept, GOOD)
    assert passwords.outdated(kept)
    assert not passwords.outdated(await passwords.hash(GOOD))


async def test_beyond_threads_and_queue_the_answer_is_unavailable_at_once(vault: Vault) -> None:
    release = threading.Event()
    with Passwords(vault, threads=1, queue=1) as passwords:
        blocked = [asyncio.gather(passwords._run(release.wait)) for _ in range(2)]
        await asyncio.sleep(0)  # both have been submitted
        with pytest.raises(Unavailable) as caught:
            await passwords.hash(GOOD)
        assert caught.value.retry_after == 1.0
        release.set()
        await asyncio.gather(*blocked)
        assert await passwords.matches(await passwords.hash(GOOD), GOOD)


async def test_a_caller_that_gives_up_frees_its_place_when_its_computation_ends(vault: Vault) -> None:
    loop, started, release = asyncio.get_running_loop(), asyncio.Event(), threading.Event()

    def compute() -> bool:
        loop.call_soon_threadsafe(started.set)
        return release.wait()

    with Passwords(vault, threads=1, queue=0) as passwords:
        running = asyncio.gather(passwords._run(compute))
        await started.wait()
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        with pytest.raises(Unavailable):
            await passwords.hash(GOOD)
        release.set()
        while True:
            try:
                assert await passwords.hash(GOOD)
                return
            except Unavailable:
                await asyncio.sleep(0.001)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux gives a thread a priority of its own")
async def test_hashing_threads_have_the_lowest_priority_and_ours_keeps_its_own(passwords: Passwords) -> None:
    before = os.getpriority(os.PRIO_PROCESS, 0)
    theirs = await passwords._run(lambda: os.getpriority(os.PRIO_PROCESS, threading.get_native_id()))
    assert theirs == 19
    assert os.getpriority(os.PRIO_PROCESS, 0) == before
