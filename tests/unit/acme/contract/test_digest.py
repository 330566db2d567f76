"""Two contracts have the same digest exactly when they mean the same."""

from __future__ import annotations

from pathlib import Path

import pytest
from google.protobuf.descriptor_pb2 import FileDescriptorSet
from google.protobuf.descriptor_pool import DescriptorPool

import acme.contracts
from acme.codegen import descriptors
from acme.contract import Contracts, load
from acme.contract.digest import digest, digest_of
from acme.contract.load import DESCRIPTORS
from acme.contracts.users.v1 import SessionsStub, UsersStub
from tests.trial import PROTOS

FILE = "trial/v1/trial.proto"


def changed(folder: Path, old: str, new: str) -> str:
    """The digest of the trial contract with one piece of text replaced."""
    source = (PROTOS / FILE).read_text()
    assert old in source
    (folder / FILE).parent.mkdir(parents=True)
    (folder / FILE).write_text(source.replace(old, new, 1))
    pool = DescriptorPool()
    home = (Path(acme.contracts.__path__[0]) / DESCRIPTORS).read_bytes()
    for content in (home, descriptors(folder, "changed")):
        for file in FileDescriptorSet.FromString(content).file:
            pool.Add(file)
    return digest_of(pool.FindFileByName(FILE))


def test_comments_do_not_count(trial: Contracts, tmp_path: Path) -> None:
    same = changed(tmp_path, "// Tries everything.", "// Tries all there is.\n\n//")
    assert same == digest(trial.services["trial.v1.Trials"])


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("string string = 14;", "string string = 14 [(acme.options.v1.example) = '\"a\"'];"),
        ("max_length: 4}]", "max_length: 4}, (acme.options.v1.example) = '\"a\"']"),
        ("string name = 1;", "string name = 1 [(acme.options.v1.example) = '\"a\"'];"),
    ],
)
def test_examples_do_not_count(trial: Contracts, tmp_path: Path, old: str, new: str) -> None:
    same = changed(tmp_path, old, new)
    assert same == digest(trial.services["trial.v1.Trials"])


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("string note = 3", "string note = 33"),
        ("int32 number = 8", "int64 number = 8"),
        ("max_length: 4", "max_length: 5"),
        ("secret_reply) = true", "secret_reply) = false"),
        ("string secret = 22", "string more = 23;\n  string secret = 22"),
    ],
)
def test_everything_else_does(trial: Contracts, tmp_path: Path, old: str, new: str) -> None:
    other = changed(tmp_path, old, new)
    assert other != digest(trial.services["trial.v1.Trials"])


def test_a_digest_is_of_the_files_a_service_depends_on(trial: Contracts) -> None:
    assert digest(trial.service_of(UsersStub)) == digest(load("acme.contracts").service_of(UsersStub))
    assert len(digest(trial.service_of(SessionsStub))) == 64
