"""An S3 server of one's own: Versity's gateway over a folder, in a process. It speaks S3 with versions and object lock.

The Go toolchain builds it, once, from its module, into the cache of the user. `program` says why there is none: tests are
skipped with that reason.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Final

from acme.drivers.processes import die_with_parent
from tests.redis_server import free_port

MODULE: Final = "github.com/versity/versitygw"
VERSION: Final = "v1.8.0"
BUILD_LIMIT: Final = 900.0
"""Seconds; it takes one minute on two cores, once, or several while they have other work."""
START_LIMIT: Final = 30.0
CREDENTIALS: Final = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test-secret"}


def program() -> Path:
    """The server's program, built when it is not there.

    Raises:
        LookupError: there is none to be had; the text says why.
    """
    if shutil.which("go") is None:
        raise LookupError("there is no go: Versity's S3 gateway is built with the Go toolchain")
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "acme-tests"
    binary = cache / f"versitygw-{VERSION}"
    if not binary.exists():
        cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=cache) as work:
            _build(Path(work))
            (Path(work) / "versitygw").rename(binary)
    return binary


def _build(folder: Path) -> None:
    command = ["go", "install", f"{MODULE}/cmd/versitygw@{VERSION}"]
    try:
        done = subprocess.run(
            command,
            env={**os.environ, "GOBIN": str(folder), "GOFLAGS": ""},
            capture_output=True,
            text=True,
            timeout=BUILD_LIMIT,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise LookupError("Go did not build Versity's S3 gateway in time") from None
    if done.returncode:
        raise LookupError(f"Go could not build Versity's S3 gateway: {done.stderr.strip()[-300:]}")


class VersityGateway:
    """The server, over a folder that is empty."""

    def __init__(self, folder: Path, binary: Path) -> None:
        """Returns when it listens."""
        self.port = free_port()
        parts = {name: folder / name for name in ("buckets", "versions", "facts")}
        for part in parts.values():
            part.mkdir(parents=True)
        command = [str(binary), "--port", f"127.0.0.1:{self.port}", "--quiet"]
        command += ["--access", CREDENTIALS["AWS_ACCESS_KEY_ID"], "--secret", CREDENTIALS["AWS_SECRET_ACCESS_KEY"]]
        # Facts beside the files, not in their extended attributes, which not every file system of tests has.
        command += ["posix", "--versioning-dir", str(parts["versions"]), "--sidecar", str(parts["facts"])]
        self._log = folder / "log"
        with self._log.open("wb") as output:
            self._process = subprocess.Popen(
                [*command, str(parts["buckets"])],
                stdout=output,
                stderr=output,
                preexec_fn=die_with_parent(signal.SIGKILL),
            )
        self._wait()

    @property
    def address(self) -> str:
        """For `endpoint=`."""
        return f"http://127.0.0.1:{self.port}"

    def stop(self) -> None:
        """Ends it."""
        self._process.kill()
        self._process.wait()

    def _wait(self) -> None:
        until = time.monotonic() + START_LIMIT
        while True:
            said = self._log.read_text(errors="replace")[-2000:]
            assert self._process.poll() is None, f"it ended: {said}"
            assert time.monotonic() < until, f"it does not listen: {said}"
            try:
                socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
                return
            except OSError:
                time.sleep(0.02)
