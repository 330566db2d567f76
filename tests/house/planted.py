"""Plants one forbidden import after another into a copy of the sources and tells which contracts broke.

Run as a program, with the copy as working directory and first on the path: import-linter finds the packages by importing
their names, and the tests' own process has the real ones. Reads `[[file, line], …]` from the standard input and writes
`[[name of a broken contract, …], …]` to the file named by the first argument. An error ends the run, with a traceback.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from importlinter import configuration
from importlinter.application import use_cases


def broken(options: Any, cache: str) -> list[str]:
    """Names of the contracts that the tree in the working directory breaks."""
    report = use_cases.create_report(options, cache_dir=cache)
    if report.invalid_contract_options:
        raise SystemExit(f"contracts that cannot be run: {report.invalid_contract_options}")
    return [str(contract.name) for contract, check in report.get_contracts_and_checks() if not check.kept]


def main() -> None:
    configuration.configure()
    options = use_cases.read_user_options()
    use_cases._register_contract_types(options)  # the documented entry points print and exit
    cache = str(Path.cwd() / "cache")
    results: list[list[str]] = []
    for name, line in json.load(sys.stdin):
        file = Path(name)
        before = file.read_text()
        file.write_text(f"{before}\n{line}\n")
        results.append(broken(options, cache))
        file.write_text(before)
    Path(sys.argv[1]).write_text(json.dumps(results))


if __name__ == "__main__":
    main()
