"""Descriptor sets → Contracts.

Each load fills a descriptor pool of its own, so that two loads, or two versions in one test run, never meet. Options are
parsed again with the message classes of that pool: the `_pb2` modules of nobody are imported. Files are known by their
name; a file that several packages hold is taken once, and must be the same in all.
"""

from __future__ import annotations

import dataclasses
import importlib
import importlib.resources
import importlib.util
from collections.abc import Callable, Mapping
from importlib.resources.abc import Traversable
from types import MappingProxyType, ModuleType
from typing import Any, Final

from google.protobuf.descriptor import Descriptor, ServiceDescriptor
from google.protobuf.descriptor_pb2 import FileDescriptorProto, FileDescriptorSet
from google.protobuf.descriptor_pool import DescriptorPool

from acme.contract.model import Message, Service
from acme.contract.read import Classes, Reader, comments
from acme.contract.validate import ContractError, validate

DESCRIPTORS: Final = "descriptors.binpb"
"""The file, beside the generated modules, that makes a package a package of contracts."""

HOME: Final = "acme.contracts"
"""Our own contracts and the google types; every other package builds on it."""

WITHOUT_CLASSES: Final = frozenset(
    {"google/api/annotations.proto", "google/api/http.proto", "google/protobuf/descriptor.proto"}
)
"""Files that describe contracts; no message class is made of them."""


class Contracts:
    """All loaded services and messages, by full name."""

    def __init__(
        self, services: Mapping[str, Service], messages: Mapping[str, Message], packages: Mapping[str, str]
    ) -> None:
        self.services: Mapping[str, Service] = MappingProxyType(dict(services))
        self.packages: Mapping[str, str] = MappingProxyType(dict(packages))
        """The import package of each file, by the file's name."""
        self.messages: Mapping[str, Message] = MappingProxyType(dict(messages))
        self._by_class: dict[type, Service] = {}
        for service in services.values():
            self._by_class[service.stub] = self._by_class[service.base] = service
        self._by_message = {message.cls: message for message in messages.values()}

    def service_of(self, stub_or_base: object) -> Service:
        """The service that a stub, a base, or an instance or subclass of one speaks.

        Raises:
            KeyError: it speaks none that is loaded, or several.
        """
        cls = stub_or_base if isinstance(stub_or_base, type) else type(stub_or_base)
        found = {self._by_class[parent] for parent in cls.__mro__ if parent in self._by_class}
        if len(found) != 1:
            names = ", ".join(sorted(service.name for service in found)) or "no loaded contract"
            raise KeyError(f"{cls.__module__}.{cls.__qualname__} keeps {names}; it has to be exactly one")
        return found.pop()

    def message_of(self, cls: type) -> Message:
        """The message whose generated class is `cls`. KeyError when it is not loaded."""
        return self._by_message[cls]

    def require(self, message: Message) -> None:
        """Raises KeyError when a message is of another load: its name may be equal, its types are not."""
        if self.messages.get(message.name) is not message:
            raise KeyError(f"{message.name} is a message of other contracts")


def load(*packages: str) -> Contracts:
    """The contracts of import packages that hold a `descriptors.binpb`, ours before those that build on them.

    Raises:
        ContractError: a package holds no descriptors, breaks a rule or clashes with one before it. Its `package` is the
            culprit, so that a start without it is possible.
    """
    pool = _Pool()
    for package in packages:
        file = _descriptors(package)
        if file is None:
            raise ContractError(package, [f"there is no {DESCRIPTORS} in it"])
        pool.add(package, file.read_bytes())
    return pool.contracts(_Generated)


def check(sets: Mapping[str, bytes]) -> Contracts:
    """Reads descriptor sets by import package as `load` does, without any generated class: for the generator, and for
    comparing with what was released.

    Raises:
        ContractError: as `load`.
    """
    pool = _Pool()
    for package, content in sets.items():
        pool.add(package, content)
    return pool.contracts(_NotGenerated)


def package_of(stub_or_base: type) -> str:
    """The import package of the contract a generated stub or base belongs to, such as "acme.contracts".

    Raises:
        ContractError: no package around the class's module holds a `descriptors.binpb`.
    """
    package = stub_or_base.__module__
    while package:
        if _descriptors(package) is not None:
            return package
        package = package.rpartition(".")[0]
    raise ContractError(stub_or_base.__module__, [f"no package around it holds a {DESCRIPTORS}"])


def _descriptors(package: str) -> Traversable | None:
    """The descriptor set in an import package, if it is one."""
    try:
        spec = importlib.util.find_spec(package)
    except ModuleNotFoundError:
        return None
    if spec is None or spec.submodule_search_locations is None:
        return None  # Of a plain module, files() raises on Python 3.11 and is the folder around it from 3.12 on.
    file = importlib.resources.files(package).joinpath(DESCRIPTORS)
    return file if file.is_file() else None


def module_of(proto_package: str, package: str) -> str:
    """The module of a proto package's classes: ("acme.users.v1", "acme.contracts") → "acme.contracts.users.v1"."""
    return f"{package}.{proto_package.removeprefix('acme.')}"


class _Generated:
    """The generated modules, imported."""

    def __init__(self, packages: Mapping[str, str]) -> None:
        self._packages = packages
        self._modules: dict[str, dict[str, Any]] = {}

    def get(self, file: str, proto_package: str, name: str) -> Any:
        module = module_of(proto_package, self._packages[file])
        if module not in self._modules:
            self._modules[module] = _by_letters(importlib.import_module(module))
        try:
            return self._modules[module][_letters(name)]
        except KeyError:
            raise ContractError(self._packages[file], [f"{file}: {module} has no class for {name}"]) from None

    def attributes(self, cls: Any, descriptor: Descriptor) -> Mapping[int, str]:
        return {f.metadata["betterproto"].number: f.name for f in dataclasses.fields(cls)}

    def handlers(self, base: Any, descriptor: ServiceDescriptor) -> Mapping[str, str]:
        routes = base.__mapping__(object.__new__(base))
        return {path: handler.func.__name__.removeprefix("__rpc_") for path, handler in routes.items()}


class _NotGenerated:
    """Stands in for the classes while there are none."""

    def __init__(self, packages: Mapping[str, str]) -> None:
        pass

    def get(self, file: str, proto_package: str, name: str) -> Any:
        return type(name, (), {})

    def attributes(self, cls: Any, descriptor: Descriptor) -> Mapping[int, str]:
        return {f.number: f.name for f in descriptor.fields}

    def handlers(self, base: Any, descriptor: ServiceDescriptor) -> Mapping[str, str]:
        return {f"/{descriptor.full_name}/{method.name}": method.name for method in descriptor.methods}


def _by_letters(module: ModuleType) -> dict[str, Any]:
    return {_letters(name): getattr(module, name) for name in module.__all__}


def _letters(name: str) -> str:
    """What the generator's own PascalCase leaves of a name whatever it does: letters and digits, ignoring case."""
    return name.replace(".", "").replace("_", "").lower()


class _Pool:
    """A descriptor pool being filled."""

    def __init__(self) -> None:
        self._pool = DescriptorPool()
        self._files: dict[str, FileDescriptorProto] = {}
        self._packages: dict[str, str] = {}
        self._comments: dict[str, str] = {}

    def add(self, package: str, content: bytes) -> None:
        """Adds the files of a descriptor set that are not there yet."""
        for file in FileDescriptorSet.FromString(content).file:
            said = comments(file)
            file.ClearField("source_code_info")
            known = self._files.setdefault(file.name, file)
            if known is file:
                self._packages[file.name] = package
                self._comments.update(said)
                try:
                    self._pool.Add(file)
                except TypeError as error:
                    raise ContractError(package, [f"{file.name}: {error}"]) from error
            elif known != file:
                other = self._packages[file.name]
                raise ContractError(package, [f"{file.name}: {other} has another file of that name"])

    def contracts(self, classes: Callable[[Mapping[str, str]], Classes]) -> Contracts:
        """Reads everything that was added, and validates it package by package.

        Raises:
            ContractError: of the first package that breaks a rule, with all its faults.
        """
        reader = Reader(self._pool, self._comments, classes(self._packages))
        services: dict[str, Service] = {}
        for name, package in self._packages.items():
            if name not in WITHOUT_CLASSES:
                file = self._pool.FindFileByName(name)
                for message in file.message_types_by_name.values():
                    reader.message(message)
                for service in file.services_by_name.values():
                    services[service.full_name] = reader.service(service, package)
        validate(services.values(), reader.messages.values(), self._packages)
        return Contracts(services, reader.messages, self._packages)
