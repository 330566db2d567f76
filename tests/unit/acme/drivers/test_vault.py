"""The cipher's promises: secrecy per purpose, binding, and no silent acceptance of altered bytes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from acme.drivers.vault import Vault

VAULT = Vault(b"m" * 32)


@given(plain=st.binary(max_size=200), bound=st.binary(max_size=40))
def test_what_was_sealed_opens_with_the_same_purpose_and_binding(plain: bytes, bound: bytes) -> None:
    assert VAULT.open("a", VAULT.seal("a", plain, bound), bound) == plain


@given(position=st.integers(0, 38), bit=st.integers(0, 7))
def test_one_flipped_bit_anywhere_is_refused(position: int, bit: int) -> None:
    sealed = bytearray(VAULT.seal("a", b"0123456789"))
    sealed[position] ^= 1 << bit
    with pytest.raises(ValueError, match="sealed"):
        VAULT.open("a", bytes(sealed))


@pytest.mark.parametrize(("purpose", "bound"), [("b", b"x"), ("a", b"y"), ("a", b"")])
def test_another_purpose_or_binding_does_not_open(purpose: str, bound: bytes) -> None:
    with pytest.raises(ValueError, match="another"):
        VAULT.open(purpose, VAULT.seal("a", b"plain", b"x"), bound)


def test_another_master_secret_does_not_open() -> None:
    with pytest.raises(ValueError, match="another"):
        Vault(b"n" * 32).open("a", VAULT.seal("a", b"plain"))


@pytest.mark.parametrize("junk", [b"", b"\x01", b"\x02" + bytes(40)])
def test_bytes_that_are_no_sealed_bytes_are_refused(junk: bytes) -> None:
    with pytest.raises(ValueError, match="not sealed"):
        VAULT.open("a", junk)


def test_macs_differ_by_purpose_and_repeat_for_the_same_message() -> None:
    assert VAULT.mac("a", b"message") == VAULT.mac("a", b"message")
    assert VAULT.mac("a", b"message") != VAULT.mac("b", b"message")


def test_a_short_master_secret_is_refused_with_the_way_to_make_one() -> None:
    with pytest.raises(ValueError, match="openssl rand"):
        Vault(b"short")
