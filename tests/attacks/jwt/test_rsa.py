"""Signatures by RSA that some verifier has believed: PKCS #1 v1.5 (RFC 8017, section 8.2.2) read too kindly, and keys used
with another algorithm than their issuer's. The attacker has the issuer's key, but in the case that needs none.
"""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass

import pytest
import pytest_asyncio
from cryptography.hazmat.primitives.asymmetric import rsa
from joserfc.jwk import RSAKey
from joserfc.jws import JWSRegistry

from tests.attacks.jwt.world import Side, Signature, World

SIZE = 256
"""Bytes of the modulus."""
SHA256 = bytes.fromhex("3031300d060960864801650304020105000420")
"""What stands before a SHA-256 digest (RFC 8017, section 9.2, note 1)."""
SHA1 = bytes.fromhex("3021300906052b0e03021a05000414")
WITHOUT_NULL = bytes.fromhex("302f300b0609608648016503040201" + "0420")
LONG_LENGTH = bytes.fromhex("30813130" + "0d060960864801650304020105000420")


@dataclass(frozen=True)
class Rsa:
    """The issuer's keys of this kind: an ordinary one, and one with the exponent 3."""

    side: Side
    ordinary: RSAKey
    cubic: RSAKey

    def token(self, signature: Signature, *, alg: str = "RS256", kid: str = "rsa") -> str:
        return self.side.token(self.side.header(alg=alg, kid=kid), signature=signature)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def keys(world: World) -> AsyncIterator[Rsa]:
    ordinary = RSAKey.import_key(rsa.generate_private_key(65537, 8 * SIZE))
    cubic = RSAKey.import_key(rsa.generate_private_key(3, 8 * SIZE))
    world.foreign.publish("rsa", ordinary)
    world.foreign.publish("cubic", cubic)
    yield Rsa(world.sides["theirs"], ordinary, cubic)


def encoded(content: bytes) -> bytes:
    """What an honest signer encrypts: 00 01 FF … FF 00 and the digest with what it is."""
    told = SHA256 + hashlib.sha256(content).digest()
    return b"\0\1" + b"\xff" * (SIZE - 3 - len(told)) + b"\0" + told


def framed(told: bytes, filling: bytes = b"\xff", first: bytes = b"\0\1", stop: bytes = b"\0") -> bytes:
    return first + filling * (SIZE - len(first) - len(stop) - len(told)) + stop + told


def digest(content: bytes) -> bytes:
    return hashlib.sha256(content).digest()


PADDINGS: dict[str, Callable[[bytes], bytes]] = {
    "block-type-2": lambda c: framed(SHA256 + digest(c), first=b"\0\2"),
    "block-type-0": lambda c: framed(SHA256 + digest(c), first=b"\0\0"),
    "filled-with-zeros": lambda c: framed(SHA256 + digest(c), filling=b"\0"),
    "filled-with-ones": lambda c: framed(SHA256 + digest(c), filling=b"\1"),
    "no-zero-before-the-digest": lambda c: framed(SHA256 + digest(c), stop=b"\xff"),
    "short-filling-and-garbage-behind": lambda c: (b"\0\1" + b"\xff" * 8 + b"\0" + SHA256 + digest(c)).ljust(
        SIZE, b"\x5a"
    ),
    "short-filling-and-garbage-before": lambda c: framed(b"\x5a" * 100 + SHA256 + digest(c)),
    "no-filling": lambda c: (b"\0\1\0" + SHA256 + digest(c)).ljust(SIZE, b"\0"),
    "digest-without-what-it-is": lambda c: framed(digest(c)),
    "without-null": lambda c: framed(WITHOUT_NULL + digest(c)),
    "length-in-long-form": lambda c: framed(LONG_LENGTH + digest(c)),
    "sha1": lambda c: framed(SHA1 + hashlib.sha1(c, usedforsecurity=False).digest()),
    "sha1-called-sha256": lambda c: framed(SHA256 + hashlib.sha1(c, usedforsecurity=False).digest()),
    "digest-cut-short": lambda c: framed(SHA256 + digest(c)[:-1]),
    "digest-twice": lambda c: framed(SHA256 + digest(c) * 2),
    "digest-of-something-else": lambda c: framed(SHA256 + digest(c + b".")),
    "digest-of-zeros": lambda c: framed(SHA256 + bytes(32)),
}


def power(key: RSAKey, block: bytes) -> bytes:
    """The bare private operation."""
    numbers = key.private_key.private_numbers()  # type: ignore[union-attr]  # it is private
    return pow(int.from_bytes(block), numbers.d, numbers.public_numbers.n).to_bytes(SIZE)


async def test_a_signature_as_it_should_be_is_believed(world: World, keys: Rsa) -> None:
    for kid, key in (("rsa", keys.ordinary), ("cubic", keys.cubic)):

        def sign(content: bytes, key: RSAKey = key) -> bytes:
            return power(key, encoded(content))

        assert (await world.rig.verifier.verify(keys.token(sign, kid=kid))).issuer == "foreign"


@pytest.mark.parametrize("padding", PADDINGS.values(), ids=PADDINGS)
async def test_a_padding_that_is_not_to_the_letter_is_none(
    world: World, keys: Rsa, padding: Callable[[bytes], bytes]
) -> None:
    await world.refused(keys.token(lambda content: power(keys.ordinary, padding(content))))


FORMS: dict[str, Callable[[bytes, int], bytes]] = {
    "zero": lambda s, n: bytes(SIZE),
    "one": lambda s, n: (1).to_bytes(SIZE),
    "modulus": lambda s, n: n.to_bytes(SIZE),
    "modulus-less-one": lambda s, n: (n - 1).to_bytes(SIZE),
    "negated": lambda s, n: (n - int.from_bytes(s)).to_bytes(SIZE),
    "modulus-added": lambda s, n: (int.from_bytes(s) + n).to_bytes(SIZE + 1),
    "a-zero-before": lambda s, n: b"\0" + s,
    "a-zero-behind": lambda s, n: s + b"\0",
    "a-byte-short": lambda s, n: s[:-1],
    "half": lambda s, n: s[: SIZE // 2],
    "twice": lambda s, n: s + s,
    "last-bit": lambda s, n: s[:-1] + bytes([s[-1] ^ 1]),
    "little-endian": lambda s, n: s[::-1],
    "as-for-es256": lambda s, n: s[:64],
}


@pytest.mark.parametrize("change", FORMS.values(), ids=FORMS)
async def test_a_signature_in_another_form_is_none(
    world: World, keys: Rsa, change: Callable[[bytes, int], bytes]
) -> None:
    n = keys.ordinary.public_key.public_numbers().n
    await world.refused(keys.token(lambda content: change(power(keys.ordinary, encoded(content)), n)))


async def test_nobody_signs_for_a_key_with_the_exponent_3_by_a_cube_root(world: World, keys: Rsa) -> None:
    """Bleichenbacher, 2006: a verifier that does not look at what stands behind the digest believes a number whose cube
    merely begins as it should. It takes no key."""

    def forged(content: bytes) -> bytes:
        begins = b"\0\1" + b"\xff" * 8 + b"\0" + SHA256 + digest(content)
        least = int.from_bytes(begins.ljust(SIZE, b"\0"))
        root = _cube_root(least) + 1
        assert (root**3).to_bytes(SIZE).startswith(begins)
        return root.to_bytes(SIZE)

    await world.refused(keys.token(forged, kid="cubic"))


@pytest.mark.parametrize("alg", ["RS384", "RS512", "PS256", "PS384", "PS512"])
async def test_a_key_is_used_with_no_other_algorithm_than_its_issuers(world: World, keys: Rsa, alg: str) -> None:
    def sign(content: bytes) -> bytes:
        return JWSRegistry.algorithms[alg].sign(content, keys.ordinary)

    await world.refused(keys.token(sign, alg=alg))
    await world.refused(keys.token(sign))


async def test_a_key_of_one_kind_is_not_used_as_one_of_another(world: World, keys: Rsa) -> None:
    await world.refused(keys.token(lambda content: power(keys.ordinary, encoded(content)), alg="ES256"))
    await world.refused(keys.token(keys.side.sign))
    await world.refused(keys.token(keys.side.sign, alg="ES256"))
    await world.refused(keys.token(lambda content: power(keys.ordinary, encoded(content)), kid="k1"))


async def test_a_token_that_is_signed_for_one_key_does_not_do_for_another(world: World, keys: Rsa) -> None:
    await world.refused(keys.token(lambda content: power(keys.ordinary, encoded(content)), kid="cubic"))


def _cube_root(number: int) -> int:
    """The largest whole number whose cube is not above `number`."""
    low, high = 0, 1 << (number.bit_length() // 3 + 1)
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if middle**3 <= number else (low, middle - 1)
    return low
