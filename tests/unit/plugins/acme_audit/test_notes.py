"""Signed notes, with the vectors of golang.org/x/mod/sumdb/note."""

from __future__ import annotations

import base64
from datetime import UTC, datetime

import pytest
from acme_audit import notes
from acme_audit.notes import Checkpoint
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from hypothesis import given
from hypothesis import strategies as st

KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
CHECKPOINT = Checkpoint("us-east/org_1", 17, 1234, bytes(range(32)), datetime(2026, 1, 31, 12, tzinfo=UTC), bytes(32))

PETER = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
SAYING = (
    "If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n\n"
    "— PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n"
)


def test_a_note_of_gos_reference_implementation_is_read_as_it_is_meant() -> None:
    name, key_id, key = PETER.split("+", 2)
    public = Ed25519PublicKey.from_public_bytes(base64.b64decode(key)[1:])
    assert notes._key_id(name, public).hex() == key_id
    signature = base64.b64decode(SAYING.rpartition(" ")[2])
    text = SAYING.partition("\n\n")[0] + "\n"
    assert notes._signed(text, signature, name, public)
    assert not notes._signed(text + "x", signature, name, public)


def test_a_checkpoint_is_written_as_the_standard_wants_it() -> None:
    note = CHECKPOINT.sign(KEY)
    assert note.splitlines()[:7] == [
        "acme-audit/us-east/org_1",
        "1234",
        "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=",
        "signed-at 2026-01-31T12:00:00.000000Z",
        "number 17",
        "previous " + "00" * 32,
        "",
    ]
    assert note.splitlines()[7].startswith("— acme-audit/us-east/org_1 ")
    assert note.endswith("\n")


def test_a_checkpoint_comes_back_and_its_signature_is_good() -> None:
    note = CHECKPOINT.sign(KEY)
    assert notes.read(note) == CHECKPOINT
    assert notes.signed_by(note, Ed25519PrivateKey.generate().public_key(), KEY.public_key())
    assert not notes.signed_by(note, Ed25519PrivateKey.generate().public_key())
    assert not notes.signed_by(note)


@given(st.integers(0, 450), st.characters())
def test_a_note_that_was_altered_is_not_signed(place: int, character: str) -> None:
    note = CHECKPOINT.sign(KEY)
    place %= len(note)
    altered = note[:place] + character + note[place + 1 :]
    assert altered == note or not notes.signed_by(altered, KEY.public_key())


@pytest.mark.parametrize("note", ["", "x", "x\n\n", "x\n\n— a b\n", "x\n\n— a AAAA\nx\n", SAYING])
def test_what_is_no_checkpoint_is_refused(note: str) -> None:
    with pytest.raises(ValueError, match=r"note|checkpoint"):
        notes.read(note)
    assert not notes.signed_by(note, KEY.public_key())


def test_the_verifier_key_names_log_and_key() -> None:
    name, key_id, key = notes.verifier_key("us-east/org_1", KEY.public_key()).split("+", 2)
    assert name == notes.origin("us-east/org_1") == "acme-audit/us-east/org_1"
    assert base64.b64decode(key) == b"\x01" + KEY.public_key().public_bytes_raw()
    assert bytes.fromhex(key_id) == base64.b64decode(CHECKPOINT.sign(KEY).rpartition(" ")[2])[:4]


def test_every_note_has_a_digest_of_its_own() -> None:
    assert notes.digest("a") != notes.digest("b")
    assert len(notes.digest("")) == 32
