"""Our contracts and a stranger's are loaded by one way, and wrong ones are refused by name."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from google.protobuf.descriptor_pb2 import FileDescriptorSet

from acme.contract import ContractError, Contracts, load, package_of
from acme.contract.load import check, module_of
from acme.contracts.projects.v1 import Project, ProjectsBase, ProjectsStub
from acme.contracts.users.v1 import UsersBase

OURS = load("acme.contracts")


class Service(ProjectsBase):
    """A service as a plugin writes it."""


class Both(ProjectsBase, UsersBase):
    """Keeps two contracts in one object, which no directory could host."""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder on the import path."""
    monkeypatch.syspath_prepend(str(tmp_path))
    return tmp_path


def descriptors_of(package: str) -> FileDescriptorSet:
    file = sys.modules[package].__file__
    assert file is not None
    return FileDescriptorSet.FromString(Path(file).with_name("descriptors.binpb").read_bytes())


def test_services_are_found_by_name_stub_base_subclass_and_instance() -> None:
    projects = OURS.services["acme.projects.v1.Projects"]
    for spoken in (ProjectsStub, ProjectsBase, Service, Service()):
        assert OURS.service_of(spoken) is projects
    assert (projects.stub, projects.base, projects.package) == (ProjectsStub, ProjectsBase, "acme.contracts")


@pytest.mark.parametrize("spoken", [Both, object()])
def test_something_that_speaks_no_or_two_contracts_is_refused(spoken: object) -> None:
    with pytest.raises(KeyError, match="exactly one"):
        OURS.service_of(spoken)


def test_messages_are_found_by_name_and_class() -> None:
    assert OURS.message_of(Project) is OURS.messages["acme.projects.v1.Project"]
    assert "google.protobuf.Timestamp" in OURS.messages


def test_a_stranger_is_loaded_beside_us(trial: Contracts) -> None:
    service = trial.services["trial.v1.Trials"]
    assert service.package == "trial_contracts"
    assert service.file == "trial/v1/trial.proto"
    assert trial.service_of(service.stub) is service
    assert trial.messages["google.protobuf.Empty"].cls is OURS.messages["google.protobuf.Empty"].cls


def test_loads_do_not_meet() -> None:
    again = load("acme.contracts")
    assert again.messages["acme.projects.v1.Project"] is not OURS.messages["acme.projects.v1.Project"]


def test_the_package_of_a_contract_is_found_from_its_classes(trial: Contracts) -> None:
    assert package_of(ProjectsStub) == "acme.contracts"
    assert package_of(trial.services["trial.v1.Trials"].base) == "trial_contracts"
    with pytest.raises(ContractError, match=r"descriptors\.binpb"):
        package_of(Path)


def test_a_leading_acme_is_no_part_of_the_module() -> None:
    assert module_of("acme.users.v1", "acme.contracts") == "acme.contracts.users.v1"
    assert module_of("trial.v1", "trial_contracts") == "trial_contracts.trial.v1"


@pytest.mark.parametrize("package", ["acme.ids", "acme.runtime", "nobody_has_this"])
def test_a_package_without_descriptors_is_named(package: str) -> None:
    with pytest.raises(ContractError, match=package):
        load("acme.contracts", package)


def test_a_file_that_two_packages_hold_is_loaded_once(folder: Path) -> None:
    (folder / "same_contracts").mkdir()
    (folder / "same_contracts" / "__init__.py").touch()
    same = FileDescriptorSet(file=[f for f in descriptors_of("acme.contracts").file if f.package.startswith("google")])
    (folder / "same_contracts" / "descriptors.binpb").write_bytes(same.SerializeToString())
    assert load("acme.contracts", "same_contracts").messages.keys() == OURS.messages.keys()


@pytest.mark.usefixtures("trial")
def test_another_file_of_the_same_name_is_refused() -> None:
    ours, stranger = descriptors_of("acme.contracts"), descriptors_of("trial_contracts")
    other = FileDescriptorSet()
    other.CopyFrom(stranger)
    other.file[0].message_type[0].name = "Renamed"
    sets = {"acme.contracts": ours, "trial_contracts": stranger, "other": other}
    with pytest.raises(ContractError, match=r"blobs/v1/blobs\.proto: trial_contracts has another") as refused:
        check({name: files.SerializeToString() for name, files in sets.items()})
    assert refused.value.package == "other"


@pytest.mark.usefixtures("trial")
def test_a_name_that_is_taken_or_an_import_that_is_missing_is_refused() -> None:
    stranger = descriptors_of("trial_contracts")
    twin = FileDescriptorSet()
    twin.CopyFrom(stranger)
    twin.file[0].name = "other.proto"
    ours = descriptors_of("acme.contracts").SerializeToString()
    with pytest.raises(ContractError, match=r"other\.proto"):
        check({"acme.contracts": ours, "a": stranger.SerializeToString(), "b": twin.SerializeToString()})
    with pytest.raises(ContractError, match=r"blobs/v1/blobs\.proto.*has not been loaded"):
        check({"a": stranger.SerializeToString()})
