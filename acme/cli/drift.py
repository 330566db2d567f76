"""Whether a plugin's generated code is what its `.proto` files say, where both are at hand."""

from __future__ import annotations

import subprocess
import sys
from importlib.util import find_spec

from acme.cli.distribution import Distribution

_TOOLS = ("grpc_tools", "betterproto2_compiler")


def stale(plugin: Distribution) -> list[str]:
    """What differs, a line a file. Without the sources, or without the tools that generate, nothing can be said."""
    package = plugin.point.module.partition(".")[0]
    folder = plugin.folder
    if folder is None or not (folder / "protos").is_dir() or not (folder / package / "contracts").is_dir():
        return []
    if any(find_spec(tool) is None for tool in _TOOLS):
        return ["contracts: what generates them is not installed: pip install 'acme-platform[plugin]'"]
    options = ["--protos", "protos", "--package", f"{package}.contracts", "--out", f"{package}/contracts"]
    command = [sys.executable, "-m", "acme.codegen", *options, "--check"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)  # noqa: S603 - our own module
    if done.returncode == 0:
        return []
    lines = done.stderr.splitlines()
    differing = [line.rpartition(": ")[2] for line in lines if line.startswith(f"{package}/contracts: ")]
    if not differing:
        return lines
    again = f"python -m acme.codegen {' '.join(options)}"
    return [f"{package}/contracts: not what protos/ says ({', '.join(differing)}): run {again}"]
