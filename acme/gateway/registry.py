"""The schemas of all events in the shape of Confluent's Schema Registry, to be read: ordinary Kafka tools decode our topics.

    kcat -b BROKER -t acme.projects.events -s value=avro -r http://127.0.0.1:9090     # one that was built with Avro

    ======================================  ====================================================
    Path                                    Answer
    ======================================  ====================================================
    /schemas/types                          ["AVRO"]
    /schemas/ids/ID                         {"schema": "…"}
    /schemas/ids/ID/versions                [{"subject": "…", "version": 1}]
    /subjects                               ["TOPIC-MESSAGE", …]
    /subjects/SUBJECT/versions              [1, 2]
    /subjects/SUBJECT/versions/VERSION      {"subject", "version", "id", "schema"}; also "latest"
    ======================================  ====================================================

Nothing can be registered here: schemas follow from contracts and are released with the code.
"""

from __future__ import annotations

from typing import Any, ClassVar, Final

import msgspec

from acme.codec.avro import Released, Version
from acme.gateway.endpoints import Answer

_TYPE: Final = "application/vnd.schemaregistry.v1+json"
_LARGEST: Final = 2**31 - 1


class Registry:
    """Answers by path."""

    PATHS: ClassVar = ("/schemas", "/subjects")
    """How the paths begin that are meant for it."""

    def __init__(self, released: Released) -> None:
        self._released = released

    def answer(self, path: str) -> Answer:
        """Of a GET; the error codes are those of Confluent's."""
        match path.strip("/").split("/"):
            case ["schemas", "types"]:
                return _found(["AVRO"])
            case ["schemas", "ids", text, *rest] if rest in ([], ["versions"]):
                version = self._released.of_id(_whole(text))
                if version is None:
                    return _missing(40403, f"Schema {text} not found.")
                if rest:
                    return _found([{"subject": version.subject, "version": version.number}])
                return _found({"schema": _text(version)})
            case ["subjects"]:
                return _found(list(self._released.subjects))
            case ["subjects", subject, "versions", *rest] if len(rest) < 2:
                versions = self._released.subjects.get(subject)
                if versions is None:
                    return _missing(40401, f"Subject '{subject}' not found.")
                return _version(versions, rest[0]) if rest else _found([version.number for version in versions])
        return _missing(404, "HTTP 404 Not Found")


def _version(versions: tuple[Version, ...], wanted: str) -> Answer:
    number = versions[-1].number if wanted == "latest" else _whole(wanted)
    if not 1 <= number <= _LARGEST:
        said = "It is a number from 1 on, or the word latest."
        return 422, _TYPE, _error(42202, f"The specified version '{wanted}' is not a valid version id. {said}")
    for version in versions:
        if version.number == number:
            about = {"subject": version.subject, "version": version.number, "id": version.id}
            return _found({**about, "schema": _text(version)})
    return _missing(40402, f"Version {number} not found.")


def _whole(text: str) -> int:
    """0, which nothing has, for what is no number."""
    return int(text) if text.isascii() and text.isdigit() and len(text) < 12 else 0


def _text(version: Version) -> str:
    """The schema without white space."""
    return msgspec.json.encode(version.schema()).decode()


def _found(content: Any) -> Answer:
    return 200, _TYPE, msgspec.json.encode(content)


def _missing(code: int, message: str) -> Answer:
    return 404, _TYPE, _error(code, message)


def _error(code: int, message: str) -> bytes:
    return msgspec.json.encode({"error_code": code, "message": message})
