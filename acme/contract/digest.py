"""Whether two processes mean the same contract: one number for a service and all that it depends on."""

from __future__ import annotations

import hashlib
from typing import Any, Final

from google.protobuf.descriptor import FileDescriptor
from google.protobuf.descriptor_pb2 import DescriptorProto, FileDescriptorProto
from google.protobuf.message_factory import GetMessageClass

from acme.contract.load import WITHOUT_CLASSES
from acme.contract.model import Service

_SILENT: Final = WITHOUT_CLASSES | {"acme/options/v1/options.proto"}
"""Files whose meaning is in the options of those that use them: a new option changes no contract that does not use it."""


def digest(service: Service) -> str:
    """SHA-256 over the service's file and every file it depends on, as 64 hexadecimal digits.

    Comments, examples and places in the source do not count, nor does the order of imports.
    """
    file: FileDescriptor = service.methods[0].request.descriptor.file.pool.FindFileByName(service.file)
    return digest_of(file)


def digest_of(file: FileDescriptor) -> str:
    """The same of a file."""
    files: dict[str, FileDescriptor] = {}
    _collect(file, files)
    # A pool's own message classes know its own extensions; the ready-made options of a descriptor do not.
    options = GetMessageClass(file.pool.FindMessageTypeByName("google.protobuf.FieldOptions"))
    example = file.pool.FindExtensionByName("acme.options.v1.example")
    sha = hashlib.sha256()
    for name in sorted(files):
        proto = FileDescriptorProto()
        files[name].CopyToProto(proto)
        proto.ClearField("source_code_info")
        for message in proto.message_type:
            _drop_examples(message, options, example)
        content = proto.SerializeToString(deterministic=True)
        sha.update(b"%s %d\n" % (name.encode(), len(content)))
        sha.update(content)
    return sha.hexdigest()


def _drop_examples(message: DescriptorProto, options: Any, example: Any) -> None:
    for field in message.field:
        if field.HasField("options"):
            given = options.FromString(field.options.SerializeToString())
            if given.HasExtension(example):
                given.ClearExtension(example)
                field.ClearField("options")
                if rest := given.SerializeToString(deterministic=True):
                    field.options.MergeFromString(rest)
    for nested in message.nested_type:
        _drop_examples(nested, options, example)


def _collect(file: FileDescriptor, found: dict[str, FileDescriptor]) -> None:
    if file.name not in found and file.name not in _SILENT:
        found[file.name] = file
        for dependency in file.dependencies:
            _collect(dependency, found)
