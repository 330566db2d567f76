"""Contracts are generated whole, for us and for a stranger, and drift is seen."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from google.protobuf.descriptor_pb2 import FileDescriptorSet

import acme.contracts
from acme import codegen
from acme.contract.load import HOME
from tests.trial import PACKAGE, PROTOS

OUR_PROTOS = Path(__file__).parents[3] / "protos"
OUR_FOLDER = Path(acme.contracts.__path__[0])


@pytest.fixture(scope="module")
def generated() -> dict[str, bytes]:
    return codegen.generate(PROTOS, PACKAGE)


@pytest.fixture
def written(tmp_path: Path, generated: dict[str, bytes]) -> Path:
    codegen.write(generated, tmp_path)
    return tmp_path


def run(folder: Path, *arguments: str) -> int:
    return codegen.main(["--protos", str(PROTOS), "--package", PACKAGE, "--out", str(folder), *arguments])


def test_what_is_committed_is_what_the_protos_say() -> None:
    assert codegen.differences(codegen.generate(OUR_PROTOS, HOME, OUR_FOLDER), OUR_FOLDER) == []


def test_only_the_strangers_own_files_come_out(generated: dict[str, bytes]) -> None:
    modules = [f"{package}/{rest}__init__.py" for package in ("blobs", "trial") for rest in ("", "v1/")]
    event = "schemas/trial.events-trial.v1.Happened"
    schemas = ["schemas.lock", f"{event}/1.avsc", f"{event}/1.golden"]
    assert sorted(generated) == ["__init__.py", *modules[:2], "descriptors.binpb", *schemas, *modules[2:]]
    descriptors = FileDescriptorSet.FromString(generated["descriptors.binpb"])
    assert [file.name for file in descriptors.file] == ["blobs/v1/blobs.proto", "trial/v1/trial.proto"]


def test_everything_else_is_imported_from_ours(generated: dict[str, bytes]) -> None:
    code = generated["trial/v1/__init__.py"].decode()
    assert "from acme.contracts.google import protobuf as " in code
    assert "from acme.contracts.message_pool import default_message_pool" in code
    assert "from ." not in code


def test_every_generated_file_says_so(generated: dict[str, bytes]) -> None:
    assert all(b"do not edit" in text.split(b"\n")[0] for name, text in generated.items() if name.endswith(".py"))


def test_descriptors_hold_comments_and_no_places(generated: dict[str, bytes]) -> None:
    _, file = FileDescriptorSet.FromString(generated["descriptors.binpb"]).file
    places = file.source_code_info.location
    assert " Tries everything.\n" in [place.leading_comments for place in places]
    assert not any(place.span for place in places)


def test_moving_text_is_no_drift(tmp_path: Path, generated: dict[str, bytes]) -> None:
    shutil.copytree(PROTOS, tmp_path / "protos")
    proto = tmp_path / "protos" / "trial" / "v1" / "trial.proto"
    proto.write_text(proto.read_text().replace("message Query {", "\n\n\nmessage Query {\n\n"))
    assert codegen.generate(tmp_path / "protos", PACKAGE) == generated


def test_check_is_quiet_when_all_is_as_generated(written: Path) -> None:
    assert run(written, "--check") == 0


def test_check_names_what_is_missing_different_and_stale(written: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (written / "descriptors.binpb").unlink()
    with (written / "trial" / "v1" / "__init__.py").open("a") as file:
        file.write("# by hand\n")
    shutil.copytree(written / "trial" / "v1", written / "trial" / "v2")
    (written / "notes.py").write_text("# nobody's business\n")
    assert run(written, "--check") == 1
    told = capsys.readouterr().err
    for line in (
        "missing: descriptors.binpb",
        "differs: trial/v1/__init__.py",
        "stale: trial/v2/__init__.py",
        "make proto",
    ):
        assert line in told
    assert "notes.py" not in told


def test_writing_removes_what_was_generated_before_and_nothing_else(written: Path) -> None:
    shutil.copytree(written / "trial" / "v1", written / "trial" / "v2")
    (written / "notes.py").write_text("# nobody's business\n")
    assert run(written) == 0
    assert not (written / "trial" / "v2" / "__init__.py").exists()
    assert (written / "notes.py").exists()


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('syntax = "proto3"; message M {}', "wrong.proto has no package"),
        ('syntax = "proto3"; package w; import "google/type/date.proto";', "google/type/date.proto is imported"),
        ('syntax = "proto3"; package w; message M { Unknown x = 1; }', "protoc refuses"),
        (
            'syntax = "proto3"; package w.v1; message M {} service S { rpc Do(M) returns (M); }',
            "wrong.proto: w.v1.S.Do: needs one of the options permission, public and internal",
        ),
    ],
)
def test_a_wrong_contract_is_refused_and_nothing_is_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str, told: str
) -> None:
    (tmp_path / "wrong.proto").write_text(text)
    out = tmp_path / "out"
    assert codegen.main(["--protos", str(tmp_path), "--package", "wrong_contracts", "--out", str(out)]) == 1
    assert told in capsys.readouterr().err
    assert not out.exists()


def test_a_folder_without_contracts_is_named(tmp_path: Path) -> None:
    with pytest.raises(codegen.CodegenError, match=r"holds no \.proto file"):
        codegen.generate(tmp_path, "wrong_contracts")
