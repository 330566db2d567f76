"""Whether a caller and a callee whose contracts are not the same may speak all the same, as in a rolling upgrade.

    differences(whole(service), theirs, service)   → [] when nobody loses anything

A callee that is ahead may have added what `changes.py` calls harmless, as between two releases: the caller's requests mean
what they meant, and what is new in replies is passed over. One that is behind has to know every field all the same, or it
would drop it without a word; methods it lacks, and what its rules do not allow yet, it refuses by itself. So workers are
upgraded before those who call them.
"""

from __future__ import annotations

from typing import Final

from google.protobuf.descriptor import FileDescriptor
from google.protobuf.descriptor_pb2 import FileDescriptorSet
from google.protobuf.message import DecodeError

from acme.contract.changes import breaking, lost
from acme.contract.load import Contracts, check
from acme.contract.model import Service
from acme.contract.validate import ContractError

_VOCABULARY: Final = ("google/api/annotations.proto", "acme/options/v1/options.proto")
"""Files without which no contract can be read, whether it uses them or not."""


def whole(service: Service) -> bytes:
    """The service's file and every file it depends on: a FileDescriptorSet, dependencies first, without comments."""
    pool = service.methods[0].request.descriptor.file.pool
    found, seen = FileDescriptorSet(), set[str]()
    for name in (*_VOCABULARY, service.file):
        _collect(pool.FindFileByName(name), seen, found)
    return found.SerializeToString(deterministic=True)


def _collect(file: FileDescriptor, seen: set[str], found: FileDescriptorSet) -> None:
    if file.name in seen:
        return
    seen.add(file.name)
    for dependency in file.dependencies:
        _collect(dependency, seen, found)
    added = found.file.add()
    file.CopyToProto(added)
    added.ClearField("source_code_info")


def differences(ours: bytes, theirs: bytes, service: str) -> list[str]:
    """What keeps us from calling `service` of those who mean `theirs`; a line each, empty when nothing does."""
    caller = _read(ours)
    try:
        callee = _read(theirs)
    except (ContractError, DecodeError, KeyError) as error:  # KeyError: what every contract builds on is not in it
        return [f"their contract cannot be read: {error}"]
    if service not in callee.services:
        return [f"their contract has no {service}"]
    ahead = breaking(caller, callee, _files(caller))
    if not ahead:
        return []
    behind = [*breaking(callee, caller, _files(callee)), *lost(callee, caller, _files(caller))]
    return min(ahead, behind, key=len)


def _read(files: bytes) -> Contracts:
    return check({"contracts": files})


def _files(contracts: Contracts) -> set[str]:
    return {service.file for service in contracts.services.values()} | {
        message.descriptor.file.name for message in contracts.messages.values()
    }
