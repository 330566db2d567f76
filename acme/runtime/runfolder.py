"""DATA/run: the sockets of the platform's processes on this machine. 0700: who may enter is who may call.

control.sock           of `acme up`, for `acme topology`
control-NAME.sock      of each process of `acme serve`
NAME.grpc              a worker's, for the other processes of `acme up --split`
"""

from __future__ import annotations

import os
import socket
import sys
from pathlib import Path
from typing import Final
from urllib.parse import quote, unquote

UNIX: Final = "grpc+unix://"
"""Scheme of an address that is a path, percent-encoded."""
_LONGEST: Final = 107
"""Bytes of a socket's path: `sun_path` less the final NUL (unix(7))."""
_ADDRESS: Final = 100
"""Bytes of a path that an address may have: `acme/dispatch/address.py`."""


class RunFolder:
    """The folder, made when it is missing. Holds it open, so that a socket has a short name however long DATA's is."""

    def __init__(self, data: Path) -> None:
        self.path: Final = data / "run"
        self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.path.chmod(0o700)
        self._folder: Final = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY)

    def close(self) -> None:
        """Lets go of it; names given out are worthless afterwards."""
        os.close(self._folder)

    def socket(self, name: str) -> str:
        """What bind(2) and connect(2) take for the socket `name`, in this process."""
        path = str(self.path / name)
        if len(os.fsencode(path)) <= _LONGEST or sys.platform != "linux":
            return path
        return f"/proc/self/fd/{self._folder}/{name}"

    def address(self, name: str) -> str:
        """The address of a worker's socket, good in every process."""
        return UNIX + quote(str(self.path / name))

    def here(self, address: str) -> str:
        """An address as this process calls it: a socket in this folder whose path is too long, or needs quoting, has
        another name here."""
        if not address.startswith(UNIX) or sys.platform != "linux":
            return address
        text = address.removeprefix(UNIX)
        path = Path(unquote(text))
        if path.parent != self.path or (str(path) == text and len(text) <= _ADDRESS):
            return address
        return f"{UNIX}/proc/self/fd/{self._folder}/{path.name}"

    def there(self, address: str) -> str:
        """What `here` was told."""
        own = f"{UNIX}/proc/self/fd/{self._folder}/"
        return self.address(address.removeprefix(own)) if address.startswith(own) else address

    def controls(self) -> list[str]:
        """Names of the control sockets that are there, dead ones included."""
        return sorted(path.name for path in self.path.glob("control*.sock"))

    def vacant(self, name: str) -> str:
        """`control-NAME.sock`, or `control-NAME-2.sock` … when a living process has it. What the dead left is removed."""
        number = 1
        while True:
            candidate = f"{name}-{number}.sock" if number > 1 else f"{name}.sock"
            if not alive(self.socket(candidate)):
                (self.path / candidate).unlink(missing_ok=True)
                return candidate
            number += 1


def alive(path: str) -> bool:
    """Whether somebody listens on a socket."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(1.0)
        try:
            probe.connect(path)
        except OSError:
            return False
        return True
