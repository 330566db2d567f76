"""Names say where a file belongs, manifests are one text for one content, roots are RFC 6962's."""

from __future__ import annotations

import hashlib

import msgspec
import pytest
from acme_audit.tree import Frontier, leaf_hash

from acme.archives.manifest import (
    Manifest,
    Place,
    Stretch,
    file_name,
    manifest_name,
    place_of,
    read_manifest,
    root,
    sync_marker,
)

MANIFEST = Manifest("t", 3, 10, 20, 9, "ab", 100, "cd", 7, 1, 2, (Stretch(12, 13),), "ef")


def test_names_sort_as_offsets_do() -> None:
    starts = [0, 9, 10, 99, 100, 2**40]
    assert sorted(file_name("t", 0, start) for start in starts) == [file_name("t", 0, start) for start in starts]
    assert file_name("a.b", 3, 7) == "v1/topic=a.b/partition=3/a.b+3+00000000000000000007.avro"
    assert manifest_name("a.b", 3, 7) == "v1/topic=a.b/partition=3/a.b+3+00000000000000000007.manifest.json"


def test_a_name_says_what_it_was_made_of() -> None:
    assert place_of(file_name("a.b-c", 12, 70)) == Place("a.b-c", 12, 70, False)
    assert place_of(manifest_name("a.b-c", 12, 70)) == Place("a.b-c", 12, 70, True)


@pytest.mark.parametrize(
    "name",
    [
        "v1/topic=t/partition=0/u+0+00000000000000000000.avro",
        "v1/topic=t/partition=0/t+1+00000000000000000000.avro",
        "v1/topic=t/partition=00/t+00+00000000000000000000.avro",
        "v1/topic=t/partition=0/t+0+0.avro",
        "v1/topic=t/partition=0/t+0+00000000000000000000.avro.manifest.json",
        "v2/topic=t/partition=0/t+0+00000000000000000000.avro",
    ],
)
def test_other_names_say_nothing(name: str) -> None:
    assert place_of(name) is None


def test_a_manifest_has_one_text() -> None:
    content = MANIFEST.content()
    assert read_manifest(content) == MANIFEST
    keys = list(msgspec.json.decode(content))
    assert keys == sorted(keys)
    for other in (content + b"\n", content.replace(b": 9", b":  9"), content.replace(b'"count"', b'"Count"')):
        with pytest.raises(ValueError, match=r"written as|unknown field|missing"):
            read_manifest(other)


def test_the_root_is_that_of_the_tree_of_the_audit_log() -> None:
    leaves = [b"%d" % number for number in range(70)]
    tree = Frontier()
    for count, leaf in enumerate(leaves):
        assert root(leaves[:count]) == tree.root().hex()
        tree.append(leaf_hash(leaf))
    assert root([]) == hashlib.sha256(b"").hexdigest()


def test_files_have_markers_of_their_own() -> None:
    assert len({sync_marker(file_name("t", 0, start)) for start in range(5)}) == 5
