"""Other versions of a contract, as a process that has them would describe it."""

from __future__ import annotations

from collections.abc import Callable

from google.protobuf.descriptor_pb2 import DescriptorProto, FieldDescriptorProto, FileDescriptorSet

from acme.contract import Service
from acme.contract.agreement import whole

Edit = Callable[[DescriptorProto], None]


def version(service: Service, message: str, edit: Edit) -> bytes:
    """The contract with one message of its file edited."""
    files = FileDescriptorSet.FromString(whole(service))
    (file,) = [file for file in files.file if file.name == service.file]
    (found,) = [one for one in file.message_type if one.name == message]
    edit(found)
    return files.SerializeToString()


def with_more(message: DescriptorProto) -> None:
    """A field was added."""
    optional = FieldDescriptorProto.LABEL_OPTIONAL
    message.field.add(
        name="one_more", json_name="oneMore", number=99, label=optional, type=FieldDescriptorProto.TYPE_STRING
    )


def without_the_last(message: DescriptorProto) -> None:
    """A field is gone."""
    del message.field[-1]


def with_another_type(message: DescriptorProto) -> None:
    """The first field is of another type."""
    message.field[0].type = FieldDescriptorProto.TYPE_BOOL
    message.field[0].ClearField("options")
