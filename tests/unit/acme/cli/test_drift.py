"""Whether generated code is what the `.proto` files say."""

from __future__ import annotations

from pathlib import Path

from acme.cli.distribution import Distribution
from acme.cli.drift import stale
from tests.made import Made


def test_what_was_just_generated_is_not_stale(tmp_path: Path) -> None:
    made = Made(tmp_path)
    assert stale(Distribution(made.point, made.folder)) == []


def test_a_contract_that_was_changed_names_the_files_and_the_command(tmp_path: Path) -> None:
    made = Made(tmp_path)
    proto = made.folder / made.proto
    proto.write_text(proto.read_text().replace("// What people call it.", "// Its name."))
    (finding,) = stale(Distribution(made.point, made.folder))
    assert finding.startswith(f"{made.name}/contracts: not what protos/ says (descriptors.binpb")
    assert finding.endswith(
        f"run python -m acme.codegen --protos protos --package {made.name}.contracts --out {made.name}/contracts"
    )


def test_a_contract_that_is_refused_says_why(tmp_path: Path) -> None:
    made = Made(tmp_path)
    proto = made.folder / made.proto
    proto.write_text(proto.read_text().replace("option (acme.options.v1.permission)", "// option", 1))
    assert "needs one of the options permission" in "\n".join(stale(Distribution(made.point, made.folder)))


def test_without_sources_nothing_can_be_said(tmp_path: Path) -> None:
    made = Made(tmp_path)
    assert stale(Distribution(made.point, None)) == []
