"""A stranger's contracts, generated again and again as its author changes them."""

from __future__ import annotations

import itertools
import sys
from pathlib import Path

from acme import codegen
from acme.contract import Contracts, Message, load

_NUMBERS = itertools.count()

EVENT = 'option (acme.options.v1.event) = {topic: "things.events" key: "id"};'
HEAD = """syntax = "proto3"; package %s.v1;
import "acme/options/v1/options.proto";
import "google/protobuf/duration.proto";
import "google/protobuf/empty.proto";
import "google/protobuf/field_mask.proto";
import "google/protobuf/struct.proto";
import "google/protobuf/timestamp.proto";
import "google/protobuf/wrappers.proto";
"""


class Stranger:
    """A package of contracts with a name that no other test has: a message registers once a process."""

    def __init__(self, folder: Path) -> None:
        self.name = f"avro_things_{next(_NUMBERS)}"
        self.root, self.protos = folder / "root", folder / "protos"
        self.folder = self.root / self.name
        self.protos.mkdir()

    @property
    def subject(self) -> str:
        """Of the event `Thing`."""
        return f"things.events-{self.name}.v1.Thing"

    @property
    def schemas(self) -> Path:
        """Folder of its schemas."""
        return self.folder / "schemas" / self.subject

    @property
    def lock(self) -> Path:
        return self.folder / "schemas.lock"

    def say(self, body: str) -> None:
        """What the contract says from now on."""
        (self.protos / "things.proto").write_text(HEAD % self.name + body)

    def run(self, *options: str) -> int:
        """The generator's exit status."""
        arguments = ["--protos", str(self.protos), "--package", self.name, "--out", str(self.folder), *options]
        return codegen.main(arguments)

    def release(self, body: str) -> None:
        """Says it, and generates."""
        self.say(body)
        assert self.run() == 0

    def contracts(self) -> Contracts:
        """As the generated classes are now. Its modules stay imported."""
        if str(self.root) not in sys.path:
            sys.path.insert(0, str(self.root))
        return load("acme.contracts", self.name)

    def message(self, contracts: Contracts, name: str = "Thing") -> Message:
        """One of its messages."""
        return contracts.messages[f"{self.name}.v1.{name}"]


def thing(fields: str, rest: str = "") -> str:
    """An event with an id and these fields."""
    return f"message Thing {{ {EVENT} string id = 1; {fields} }} {rest}"
