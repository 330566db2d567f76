"""Passwords hashed with argon2id by OWASP's parameters.

A password is normalised (NFKC) first; which ones may be chosen is in `choice.py`. The hash is kept sealed, so that a stolen
database gives nobody anything to guess against.

One hash takes about 30 ms of one core and 19 MiB. It is made on threads of our own with the lowest priority (nice 19:
logging in waits, everything else does not), behind a bounded queue: past it the answer is 503 at once, and memory and
latency stay bounded under a flood of log-ins. No transaction is open meanwhile.

Whoever measures the time of an answer must not learn whether an account exists. So every branch of log-in and sign-up
makes exactly one computation: where there is no password to compare with, the constant `_NOBODY` is compared.
"""

from __future__ import annotations

import asyncio
import os
import sys
import threading
import unicodedata
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Final, Self, TypeVar

from argon2 import PasswordHasher
from argon2.exceptions import VerifyMismatchError

from acme import Cipher, Unavailable

T = TypeVar("T")

ARGON2: Final = PasswordHasher(time_cost=2, memory_cost=19 * 1024, parallelism=1, hash_len=32, salt_len=16)
"""OWASP Password Storage: argon2id, m = 19 MiB, t = 2, p = 1. Another choice reaches each account at its next log-in."""

# The hash of 32 random bytes that nobody kept.
_NOBODY: Final = "$argon2id$v=19$m=19456,t=2,p=1$/GxhzFnE7N7EtMuE5dEGQg$AMvf2KS8iQZRTYFlC5HAxYtBMiPfXma8gaRbzv2jyEw"
_PURPOSE: Final = "passwords"


class Passwords:
    """Hashes and compares passwords. A context manager: leaving it ends the threads."""

    def __init__(self, cipher: Cipher, *, threads: int, queue: int) -> None:
        """`threads` work at a time; beside them `queue` computations may wait."""
        self._cipher = cipher
        self._executor = ThreadPoolExecutor(threads, thread_name_prefix="acme.users.hash", initializer=_lower_priority)
        self._room = threading.BoundedSemaphore(threads + queue)
        self.computations = 0
        """argon2 computations asked for so far, one a submission."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._executor.shutdown(cancel_futures=True)

    async def hash(self, password: str) -> bytes:
        """What to keep of a password; different each time. One computation.

        Raises:
            Unavailable: the queue is full.
        """
        encoded = await self._run(lambda: ARGON2.hash(_normal(password)))
        return self._cipher.seal(_PURPOSE, encoded.encode())

    async def matches(self, kept: bytes | None, password: str) -> bool:
        """Whether `kept` was made of this password; `None` is of none. One computation in any case.

        Raises:
            Unavailable: the queue is full.
        """
        encoded = _NOBODY if kept is None else self._open(kept)
        return await self._run(lambda: _matches(encoded, _normal(password))) and kept is not None

    def outdated(self, kept: bytes) -> bool:
        """Whether `kept` was made with other parameters than those of today."""
        return ARGON2.check_needs_rehash(self._open(kept))

    def _open(self, kept: bytes) -> str:
        return self._cipher.open(_PURPOSE, kept).decode()

    async def _run(self, compute: Callable[[], T]) -> T:
        if not self._room.acquire(blocking=False):
            raise Unavailable("Too many log-ins at the moment: try again.", retry_after=1.0, reason="busy")
        try:
            future: Future[T] = self._executor.submit(compute)
        except BaseException:
            self._room.release()
            raise
        self.computations += 1
        # Not at the end of the await: a caller that gives up leaves a computation that has begun running.
        future.add_done_callback(lambda _: self._room.release())
        return await asyncio.wrap_future(future)


def _normal(password: str) -> str:
    return unicodedata.normalize("NFKC", password)


def _matches(encoded: str, password: str) -> bool:
    try:
        return ARGON2.verify(encoded, password)
    except VerifyMismatchError:
        return False


def _lower_priority() -> None:
    if sys.platform == "linux":  # where a thread has a priority of its own (sched(7)); elsewhere it is the process's
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), 19)
