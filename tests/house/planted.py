"""Plants forbidden imports into a copy of the sources and tells which contracts each of them breaks.

Run as a program, with the copy as working directory and first on the path: import-linter finds the packages by importing
their names, and the tests' own process has the real ones. Reads `[[file, line], …]` from the standard input and writes
`[[name of a broken contract, …], …]` to the file named by the first argument; an empty line plants nothing. An error ends
the run, with a traceback.

import-linter reads the sources twice, as they are and with all the lines in them; each import that it found in a planted
line is then added by itself to what it read of the sources as they are. Reading them for each line took twice as long.
"""

from __future__ import annotations

import json
import sys
from collections import defaultdict
from copy import deepcopy
from pathlib import Path
from typing import Any

from importlinter import configuration
from importlinter.application import use_cases


def read(options: Any, cache: str) -> Any:
    """The imports of the tree in the working directory."""
    return use_cases._build_graph(
        root_package_names=options.session_options["root_packages"],
        include_external_packages=use_cases._get_include_external_packages(options),
        exclude_type_checking_imports=use_cases._get_exclude_type_checking_imports(options),
        verbose=False,
        cache_dir=cache,
    )


def broken(options: Any, graph: Any) -> list[str]:
    """Names of the contracts that these imports break."""
    report = use_cases._build_report(graph, 0, options, (), show_timings=False, verbose=False)
    if report.invalid_contract_options:
        raise SystemExit(f"contracts that cannot be run: {report.invalid_contract_options}")
    return [str(contract.name) for contract, check in report.get_contracts_and_checks() if not check.kept]


def module_of(file: str) -> str:
    return file.removeprefix("plugins/").removesuffix(".py").removesuffix("/__init__").replace("/", ".")


def with_import(before: Any, planted: Any, file: str, line: str) -> Any:
    """What was read before, with what was read of one planted line."""
    between = {"importer": module_of(file), "imported": line.removeprefix("import ")}
    found = [one for one in planted.get_import_details(**between) if one["line_contents"] == line]
    if not found:
        raise SystemExit(f"import-linter does not see in {file}: {line}")
    graph = deepcopy(before)
    if between["imported"] not in graph.modules:
        graph.add_module(between["imported"], is_squashed=True)
    graph.add_import(**found[0])
    return graph


def main() -> None:
    configuration.configure()
    options = use_cases.read_user_options()
    use_cases._register_contract_types(options)  # the documented entry points print and exit
    cache = str(Path.cwd() / "cache")
    breaches: list[tuple[str, str]] = json.load(sys.stdin)
    before = read(options, cache)
    lines: defaultdict[str, list[str]] = defaultdict(list)
    for name, line in breaches:
        lines[name].append(line)
    for name, added in lines.items():
        file = Path(name)
        file.write_text("\n".join([file.read_text(), *added, ""]))
    planted = read(options, cache)
    results = [broken(options, with_import(before, planted, name, line) if line else before) for name, line in breaches]
    Path(sys.argv[1]).write_text(json.dumps(results))


if __name__ == "__main__":
    main()
