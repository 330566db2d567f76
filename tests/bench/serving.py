"""The processes under load, and the cores they may use: server on one, load generator and PostgreSQL on the other."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.system.running import Platform, path_with

TICKS: Final = os.sysconf("SC_CLK_TCK")
"""Of /proc, a second."""
_STRANGER: Final = Path(__file__).with_name("stranger")


@dataclass(frozen=True)
class Cores:
    """Who runs where. Both are the same on a machine with one core, and the report says so."""

    server: int
    others: int

    @classmethod
    def choose(cls) -> Cores:
        """The first and the last core this process may use."""
        allowed = sorted(os.sched_getaffinity(0))
        return cls(server=allowed[-1], others=allowed[0])

    @property
    def shared(self) -> bool:
        return self.server == self.others


def pin(pids: Iterable[int], core: int) -> None:
    """Keeps processes, all their threads included, on one core. What they fork later stays there too."""
    for pid in pids:
        with contextlib.suppress(FileNotFoundError):  # it has ended
            for thread in os.listdir(f"/proc/{pid}/task"):
                with contextlib.suppress(ProcessLookupError):
                    os.sched_setaffinity(int(thread), {core})


def processes(one: Platform) -> list[int]:
    """Process ids of a platform, without those of PostgreSQL: with `--split`, gateway, workers and who looks after them."""
    return [one.running.pid, *[process["pid"] for process in one.ready.get("processes", [])]]


def cpu_seconds(pid: int) -> float:
    """User and system time of a process and its threads, without its children (proc(5), fields 14 and 15)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def install_stranger(folder: Path) -> Mapping[str, str]:
    """Compiles and installs the no-op plugin into `folder`, as a stranger would; returns the environment it needs."""
    package = folder / "bench_plugin"
    shutil.copytree(_STRANGER / "bench_plugin", package, ignore=shutil.ignore_patterns("__pycache__"))
    command = [sys.executable, "-m", "acme.codegen", "--protos", str(_STRANGER / "protos")]
    command += ["--package", "bench_plugin.contracts", "--out", str(package / "contracts")]
    subprocess.run(command, check=True, capture_output=True, text=True)
    metadata = folder / "bench_plugin-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: bench-plugin\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text("[acme.plugins]\nbench = bench_plugin:plugin\n")
    return path_with(folder)


@contextlib.contextmanager
def platform(folder: Path, environ: Mapping[str, str], cores: Cores, *options: str) -> Iterator[Platform]:
    """`acme up` with the no-op plugin, everything on; on its core, its database on the other."""
    one = Platform(folder, "--port", "0", *options, environ={**environ, "ACME_LOG__FORMAT": "json"})
    try:
        one.start()
        pin(processes(one), cores.server)
        pin(one.database_processes(), cores.others)
        yield one
        if one.stop() != 0:
            raise RuntimeError(f"acme up did not end well:\n{one.log()[-4000:]}")
    finally:
        one.close()


@contextlib.contextmanager
def bare(folder: Path, headers: Mapping[str, str], body: bytes, cores: Cores) -> Iterator[tuple[int, int]]:
    """The bare server with this answer: its process id and its port."""
    reply = folder / "reply.json"
    reply.write_text(json.dumps({"headers": dict(headers), "body": body.decode()}))
    command = [sys.executable, "-m", "tests.bench.bare", str(reply)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            port = int(process.stdout.readline())
            pin([process.pid], cores.server)
            yield process.pid, port
        finally:
            process.kill()
