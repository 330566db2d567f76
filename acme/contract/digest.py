"""Whether two processes mean the same contract: one number for a service and all that it depends on."""

from __future__ import annotations

import hashlib
from typing import Final

from google.protobuf.descriptor import FileDescriptor
from google.protobuf.descriptor_pb2 import FileDescriptorProto

from acme.contract.load import WITHOUT_CLASSES
from acme.contract.model import Service

_SILENT: Final = WITHOUT_CLASSES | {"acme/options/v1/options.proto"}
"""Files whose meaning is in the options of those that use them: a new option changes no contract that does not use it."""


def digest(service: Service) -> str:
    """SHA-256 over the service's file and every file it depends on, as 64 hexadecimal digits.

    Comments and places in the source do not count, nor does the order of imports.
    """
    file: FileDescriptor = service.methods[0].request.descriptor.file.pool.FindFileByName(service.file)
    return digest_of(file)


def digest_of(file: FileDescriptor) -> str:
    """The same of a file."""
    files: dict[str, FileDescriptor] = {}
    _collect(file, files)
    sha = hashlib.sha256()
    for name in sorted(files):
        proto = FileDescriptorProto()
        files[name].CopyToProto(proto)
        proto.ClearField("source_code_info")
        content = proto.SerializeToString(deterministic=True)
        sha.update(b"%s %d\n" % (name.encode(), len(content)))
        sha.update(content)
    return sha.hexdigest()


def _collect(file: FileDescriptor, found: dict[str, FileDescriptor]) -> None:
    if file.name not in found and file.name not in _SILENT:
        found[file.name] = file
        for dependency in file.dependencies:
            _collect(dependency, found)
