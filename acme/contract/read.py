"""Descriptors of one pool → the data of `model.py`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final, Protocol

from google.protobuf.descriptor import (
    Descriptor,
    EnumDescriptor,
    FieldDescriptor,
    MethodDescriptor,
    ServiceDescriptor,
)
from google.protobuf.descriptor_pb2 import DescriptorProto, EnumDescriptorProto, FileDescriptorProto
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClass

from acme.contract.model import (
    KINDS,
    Audit,
    Cache,
    Choice,
    Choices,
    Event,
    Field,
    Format,
    Message,
    Method,
    Route,
    Rules,
    Service,
    Work,
)

_FORMATS: Final = (None, Format.EMAIL, Format.LINE, Format.TEXT)
_WORKS: Final = (None, Work.NONE, Work.AUTO, Work.MANUAL)
"""By their numbers in `acme/options/v1/options.proto`."""


_EXTENSIONS: Final = {
    "google.protobuf.MethodOptions": (
        "google.api.http",
        "acme.options.v1.permission",
        "acme.options.v1.public",
        "acme.options.v1.internal",
        "acme.options.v1.work",
        "acme.options.v1.idempotent",
        "acme.options.v1.success_status",
        "acme.options.v1.rate_class",
        "acme.options.v1.secret_reply",
        "acme.options.v1.role",
        "acme.options.v1.step_up",
        "acme.options.v1.changes_access",
        "acme.options.v1.audit",
        "acme.options.v1.timeout",
        "acme.options.v1.cost",
        "acme.options.v1.cache",
    ),
    "google.protobuf.FieldOptions": (
        "acme.options.v1.rules",
        "acme.options.v1.pii",
        "acme.options.v1.secret",
        "acme.options.v1.header",
        "acme.options.v1.example",
    ),
    "google.protobuf.MessageOptions": ("acme.options.v1.event",),
}


def _audit(said: Any) -> Audit:
    return Audit() if said is None else Audit(tuple(said.targets), said.reads, said.none)


class Classes(Protocol):
    """The Python side of the contracts."""

    def get(self, file: str, proto_package: str, name: str) -> Any:
        """The generated class of a message or an enum, named without its proto package; or of a service, with "Stub" or
        "Base" after its name."""

    def attributes(self, cls: Any, descriptor: Descriptor) -> Mapping[int, str]:
        """Attribute by field number."""

    def handlers(self, base: Any, descriptor: ServiceDescriptor) -> Mapping[str, str]:
        """Name of the Python method by gRPC path."""


class Reader:
    """Reads descriptors; each message and enum once, so that equal types are one object."""

    def __init__(self, pool: DescriptorPool, comments: Mapping[str, str], classes: Classes) -> None:
        self._options = _Options(pool)
        self._comments = comments
        self._classes = classes
        self._choices: dict[str, Choices] = {}
        self.messages: dict[str, Message] = {}

    def service(self, service: ServiceDescriptor, package: str) -> Service:
        """A service with its methods. `package` is the import package it came from."""
        base = self._class(service, "Base")
        handlers = self._classes.handlers(base, service)
        return Service(
            name=service.full_name,
            package=package,
            file=service.file.name,
            stub=self._class(service, "Stub"),
            base=base,
            methods=tuple(self._method(method, handlers) for method in service.methods),
            comment=self._comment(service),
        )

    def message(self, descriptor: Descriptor) -> Message:
        """A message with its fields, and the messages inside of it."""
        known = self.messages.get(descriptor.full_name)
        if known is not None:
            return known
        event = self._options.of(descriptor).get("event")
        made = Message(
            name=descriptor.full_name,
            cls=self._class(descriptor),
            descriptor=descriptor,
            event=Event(event.topic, event.key, event.organization) if event is not None else None,
            comment=self._comment(descriptor),
        )
        self.messages[made.name] = made
        attributes = self._classes.attributes(made.cls, descriptor)
        fields = tuple(self._field(field, attributes[field.number]) for field in descriptor.fields)
        # The one place where frozen data is completed after it was made: a message may contain itself.
        object.__setattr__(made, "fields", fields)
        for nested in descriptor.nested_types:
            if not nested.GetOptions().map_entry:
                self.message(nested)
        return made

    def _method(self, method: MethodDescriptor, handlers: Mapping[str, str]) -> Method:
        says = self._options.of(method)
        routes = tuple(_routes(says["http"])) if "http" in says else ()
        reads = bool(routes) and all(route.verb == "GET" for route in routes)
        path = f"/{method.containing_service.full_name}/{method.name}"
        return Method(
            name=method.name,
            attr=handlers[path],
            path=path,
            service=method.containing_service.full_name,
            request=self.message(method.input_type),
            reply=self.message(method.output_type),
            routes=routes,
            permission=says.get("permission", ""),
            public=says.get("public", False),
            internal=frozenset(says["internal"].callers) if "internal" in says else None,
            work=_WORKS[says.get("work", 0)] or (Work.NONE if reads else Work.AUTO),
            idempotent=says.get("idempotent", False) or reads,
            success_status=says.get("success_status", 0) or 200,
            rate_class=says.get("rate_class", "") or "default",
            secret_reply=says.get("secret_reply", False),
            role=says.get("role", "") or ("viewer" if reads else "member"),
            step_up=says.get("step_up", False),
            changes_access=says.get("changes_access", False),
            audit=_audit(says.get("audit")),
            timeout=says.get("timeout"),
            cost=says.get("cost", 1),
            cache=Cache(says["cache"].max_age, says["cache"].shared) if "cache" in says else None,
            client_streaming=method.client_streaming,
            server_streaming=method.server_streaming,
            comment=self._comment(method),
        )

    def _field(self, field: FieldDescriptor, attr: str) -> Field:
        says = self._options.of(field)
        message, choices = field.message_type, field.enum_type
        entry = message if message is not None and message.GetOptions().map_entry else None
        oneof = field.containing_oneof
        return Field(
            name=field.name,
            attr=attr,
            kind=KINDS[field.type],
            descriptor=field,
            repeated=field.is_repeated and entry is None,
            is_map=entry is not None,
            optional=field.has_presence,
            oneof="" if oneof is None or _is_presence(oneof.name, len(oneof.fields)) else oneof.name,
            rules=_rules(says["rules"]) if "rules" in says else None,
            pii=says.get("pii", False),
            secret=says.get("secret", False),
            header=says.get("header", ""),
            example=says.get("example", ""),
            comment=self._comment(field),
            message=self.message(message) if message is not None and entry is None else None,
            choices=self._enum(choices) if choices is not None else None,
            key=self._field(entry.fields_by_name["key"], "key") if entry is not None else None,
            value=self._field(entry.fields_by_name["value"], "value") if entry is not None else None,
        )

    def _enum(self, descriptor: EnumDescriptor) -> Choices:
        known = self._choices.get(descriptor.full_name)
        if known is None:
            known = self._choices[descriptor.full_name] = Choices(
                name=descriptor.full_name,
                cls=self._class(descriptor),
                values=tuple(
                    Choice(value.name, value.number, self._comments.get(f"{descriptor.full_name}.{value.name}", ""))
                    for value in descriptor.values
                ),
                comment=self._comment(descriptor),
            )
        return known

    def _class(self, descriptor: Descriptor | EnumDescriptor | ServiceDescriptor, suffix: str = "") -> Any:
        proto_package = descriptor.file.package
        name = descriptor.full_name.removeprefix(f"{proto_package}.")
        return self._classes.get(descriptor.file.name, proto_package, name + suffix)

    def _comment(self, descriptor: Any) -> str:
        return self._comments.get(descriptor.full_name, "")


class _Options:
    """Reads what `acme/options/v1/options.proto` and `google.api.http` add to descriptors."""

    def __init__(self, pool: DescriptorPool) -> None:
        # A pool's own message classes know its own extensions; the ready-made options of a descriptor do not.
        self._classes = {name: GetMessageClass(pool.FindMessageTypeByName(name)) for name in _EXTENSIONS}
        self._extensions = {
            name: [pool.FindExtensionByName(extension) for extension in extensions]
            for name, extensions in _EXTENSIONS.items()
        }

    def of(self, descriptor: Any) -> dict[str, Any]:
        """The options that were given, by their short names."""
        if not descriptor.has_options:
            return {}
        given = descriptor.GetOptions()
        kind = given.DESCRIPTOR.full_name
        parsed: Any = self._classes[kind].FromString(given.SerializeToString())
        return {e.name: parsed.Extensions[e] for e in self._extensions[kind] if parsed.HasExtension(e)}


def _routes(http: Any) -> Iterator[Route]:
    for rule in (http, *http.additional_bindings):
        pattern = rule.WhichOneof("pattern")
        if pattern == "custom":
            yield Route(rule.custom.kind.upper(), rule.custom.path, rule.body)
        elif pattern:
            yield Route(pattern.upper(), getattr(rule, pattern), rule.body)


def _rules(given: Any) -> Rules:
    def optional(name: str) -> int | None:
        return getattr(given, name) if given.HasField(name) else None

    return Rules(
        required=given.required,
        min_length=optional("min_length"),
        max_length=optional("max_length"),
        max_bytes=optional("max_bytes"),
        pattern=given.pattern,
        format=_FORMATS[given.format],
        minimum=optional("minimum"),
        maximum=optional("maximum"),
        min_items=optional("min_items"),
        max_items=optional("max_items"),
        id=given.id,
        keys=_rules(given.keys) if given.HasField("keys") else None,
        values=_rules(given.values) if given.HasField("values") else None,
    )


def _is_presence(oneof: str, members: int) -> bool:
    """Whether a oneof is only what protoc makes of `optional` on a scalar."""
    return members == 1 and oneof.startswith("_")


def comments(file: FileDescriptorProto) -> dict[str, str]:
    """Leading comments by the full name of what they are about: messages, fields, enums, values, services, methods."""
    texts = {tuple(place.path): place.leading_comments for place in file.source_code_info.location}
    found: dict[str, str] = {}

    def visit(parent: str, path: tuple[int, ...], children: Mapping[int, Iterable[Any]]) -> None:
        for number, items in children.items():
            for index, item in enumerate(items):
                here = (*path, number, index)
                name = f"{parent}.{item.name}"
                if here in texts:
                    found[name] = "\n".join(
                        line.removeprefix(" ") for line in texts[here].strip("\n").split("\n")
                    ).strip()
                visit(name, here, _children(item))

    visit(file.package, (), {4: file.message_type, 5: file.enum_type, 6: file.service})
    return found


def _children(item: Any) -> Mapping[int, Iterable[Any]]:
    """What may bear comments inside of an item, by field number in `google/protobuf/descriptor.proto`."""
    match item:
        case DescriptorProto():
            return {2: item.field, 3: item.nested_type, 4: item.enum_type}
        case EnumDescriptorProto():
            return {2: item.value}
        case _:
            return {2: getattr(item, "method", ())}
