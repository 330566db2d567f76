"""`python -m tests.soak --minutes 30`: prints what was noted, and exits 1 where something stays behind."""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

import aiohttp

from acme.tasks import Tasks
from acme.telemetry import Metrics
from tests.soak.clients import Person, Town, steady
from tests.soak.watch import DRIFT, Sample, drift, faults, sample
from tests.system.running import Platform, connect

EVERY: Final = 5.0
"""Seconds between two samples."""
AT_ONCE: Final = 8
"""Who signs up at once before anything is measured: each thread that hashes passwords keeps the 19 MiB that argon2 takes
from its first hash on, and whether a second one ever has anything to do is chance."""
REST: Final = 90.0
"""Seconds after the load until what is left is counted: longer than an idle connection is kept."""


def looked_at(one: Platform, at: float) -> Sample:
    """A sample, after the process was asked for its metrics."""
    metrics, (sessions, _) = one.call("GET", "/metrics").body.decode(), asyncio.run(sessions_of(one))
    return sample(one.running.pid, at, metrics, sessions)


async def sessions_of(one: Platform) -> tuple[int, int]:
    """Sessions of PostgreSQL beside ours, and how many of them run a statement or hold a transaction open."""
    connection = await connect(one, "users")
    try:
        row = await connection.fetchrow(
            "SELECT count(*), count(*) FILTER (WHERE state <> 'idle') FROM pg_stat_activity"
            " WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()"
        )
        return (row[0], row[1]) if row is not None else (0, 0)
    finally:
        await connection.close()


async def under_load(one: Platform, minutes: float, rate: float, seed: int) -> tuple[list[Sample], Town]:
    """The load, and the samples."""
    joined = [one.join(f"person{number}@example.com") for number in range(25)]
    people = [Person(each.email, each.token, str(each.tokens["refresh_token"])) for each in joined]
    samples: list[Sample] = []
    start = time.monotonic()

    async def watch() -> None:
        while True:
            found = await asyncio.to_thread(looked_at, one, time.monotonic() - start)
            samples.append(found)
            if len(samples) % 12 == 1:
                print(
                    f"{found.at / 60:6.1f} min {found.memory / 2**20:8.1f} MiB {found.files:5} files"
                    f" {found.threads:3} threads {found.tasks:4} tasks",
                    flush=True,
                )
            await asyncio.sleep(EVERY)

    timeout = aiohttp.ClientTimeout(total=30)
    async with (
        Tasks("soak", Metrics()) as tasks,
        aiohttp.ClientSession(timeout=timeout, connector=aiohttp.TCPConnector(limit=50)) as session,
    ):
        town = Town(one.api, session, people[5:], people[:5], seed)
        tasks.spawn("watch", watch())
        await steady(town, rate, minutes * 60)
    return samples, town


def run(folder: Path, minutes: float, rate: float, seed: int, most: float = DRIFT) -> list[str]:
    """Everything; returns what is wrong."""
    one = Platform(folder, "--port", "0")
    try:
        one.start()
        with ThreadPoolExecutor(AT_ONCE) as many:
            list(many.map(one.join, [f"first{number}@example.com" for number in range(AT_ONCE)]))
        time.sleep(EVERY)  # until what starts has started
        rest = looked_at(one, 0.0)
        samples, town = asyncio.run(under_load(one, minutes, rate, seed))
        time.sleep(REST)  # until idle connections and keys have had their time
        after = looked_at(one, minutes * 60 + REST)
        found = faults(rest, samples, after, asyncio.run(sessions_of(one))[1], most)
        found += [f"{name}: {count} times" for name, count in town.answers.items() if name.startswith("!")]
        print(f"\n{sum(town.answers.values()):,} requests in {minutes:g} min:", dict(town.answers.most_common()))
        print(f"memory drifted by {drift(samples):+.2%}; before {rest}; after {after}")
        if one.stop() != 0:
            found.append("it did not end well")
    finally:
        one.close()
    return found


def main() -> None:
    """Runs everything."""
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=30.0, help="minutes of load (30)")
    parser.add_argument("--rate", type=float, default=100.0, help="requests a second (100)")
    parser.add_argument("--seed", type=int, default=int(time.time()), help="of the mix; printed")
    options = parser.parse_args()
    print(f"seed {options.seed}")
    with tempfile.TemporaryDirectory(prefix="acme-soak-", ignore_cleanup_errors=True) as folder:
        found = run(Path(folder), options.minutes, options.rate, options.seed)
    print("\n".join(found) or "Nothing stays behind.")
    sys.exit(1 if found else 0)


if __name__ == "__main__":
    main()
