"""PEM files: what is in them, and what is wrong with them."""

from __future__ import annotations

import os
import ssl
from datetime import UTC, datetime
from ipaddress import ip_address
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization

from acme.runtime.databases import CannotStart
from acme.runtime.tls import files
from tests.certificates import DAY, Authority


def test_a_mark_changes_with_a_file_and_with_the_link_that_leads_to_it(tmp_path: Path) -> None:
    one, two, link = tmp_path / "one", tmp_path / "two", tmp_path / "link"
    one.write_text("1")
    two.write_text("2")
    link.symlink_to(one)
    first = files.marks((link,))
    other = tmp_path / "next"
    other.symlink_to(two)
    os.replace(other, link)
    assert files.marks((link,)) != first
    assert files.marks((tmp_path / "nowhere",)) == (None,)


def test_names_are_those_of_the_alternative_names_in_small_letters(tmp_path: Path) -> None:
    more = [x509.IPAddress(ip_address("::1")), x509.RFC822Name("a@b.example")]
    paths = Authority().issue(tmp_path, "ONE.example", "two.example", more=more)
    own = files.certificates("[x]", "certificate", paths["certificate"])[0]
    assert files.names(own) == ("one.example", "two.example", "::1")
    assert files.names(files.certificates("[x]", "authority", paths["authority"])[0]) == ()


def test_who_issued_a_certificate_can_be_told(tmp_path: Path) -> None:
    paths = Authority().issue(tmp_path / "a", "one.example")
    other = Authority("Somebody else").issue(tmp_path / "b", "one.example")
    own, by, stranger = (
        files.certificates("[x]", "certificate", path)[0]
        for path in (paths["certificate"], paths["authority"], other["authority"])
    )
    assert files.issued(by, own)
    assert not files.issued(stranger, own)


def test_a_certificate_is_good_within_its_time_only(tmp_path: Path) -> None:
    paths = Authority().issue(tmp_path, "one.example")
    own, now = files.certificates("[x]", "certificate", paths["certificate"])[0], datetime.now(UTC)
    files.check_time("[x]", paths["certificate"], own, now)
    with pytest.raises(CannotStart, match="expired on"):
        files.check_time("[x]", paths["certificate"], own, now + 2 * DAY)
    with pytest.raises(CannotStart, match="is not valid before"):
        files.check_time("[x]", paths["certificate"], own, now - 2 * DAY)


def test_a_key_with_a_password_cannot_be_used(tmp_path: Path) -> None:
    paths = Authority().issue(tmp_path, "one.example")
    key = serialization.load_pem_private_key(paths["key"].read_bytes(), None)
    locked = serialization.BestAvailableEncryption(b"secret")
    pkcs8 = serialization.PrivateFormat.PKCS8
    paths["key"].write_bytes(key.private_bytes(serialization.Encoding.PEM, pkcs8, locked))
    with pytest.raises(CannotStart, match=r"\[x\] key: a key with a password cannot be used"):
        files.load_pair("[x]", ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), paths["certificate"], paths["key"])


@pytest.mark.parametrize("content", [None, "nothing"])
def test_an_authority_that_cannot_be_used_is_told(tmp_path: Path, content: str | None) -> None:
    path = tmp_path / "authority.pem"
    if content is not None:
        path.write_text(content)
    with pytest.raises(CannotStart, match=r"\[x\] authority .*authority.pem cannot be"):
        files.load_authority("[x]", ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), path)
