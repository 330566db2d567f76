"""Signatures that are none, in every form that some verifier has believed: RFC 7518 (section 3.4), CVE-2022-21449."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

from tests.attacks.jwt.world import Side, World

N = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
"""Order of P-256."""
P = 0xFFFFFFFF00000001000000000000000000000000FFFFFFFFFFFFFFFFFFFFFFFF
"""Its field's prime."""
GX = 0x6B17D1F2E12C4247F8BCE6E563A440F277037D812DEB33A0F4A13945D898C296
"""First coordinate of its base point."""

Change = Callable[[int, int], bytes]


def raw(r: int, s: int) -> bytes:
    return r.to_bytes(32) + s.to_bytes(32)


def der(r: int, s: int) -> bytes:
    return encode_dss_signature(r, s)


FORMS: dict[str, Change] = {
    "psychic-zeros": lambda r, s: raw(0, 0),
    "r-zero": lambda r, s: raw(0, s),
    "s-zero": lambda r, s: raw(r, 0),
    "r-is-n": lambda r, s: raw(N, s),
    "s-is-n": lambda r, s: raw(r, N),
    "r-and-s-are-n": lambda r, s: raw(N, N),
    "r-is-one": lambda r, s: raw(1, s),
    "s-is-one": lambda r, s: raw(r, 1),
    "r-and-s-are-one": lambda r, s: raw(1, 1),
    "r-and-s-below-n": lambda r, s: raw(N - 1, N - 1),
    "r-is-p": lambda r, s: raw(P, s),
    "r-is-the-base-point": lambda r, s: raw(GX, GX),
    "all-ones": lambda r, s: b"\xff" * 64,
    "r-and-s-changed-places": lambda r, s: raw(s, r),
    "r-twice": lambda r, s: raw(r, r),
    "r-negated": lambda r, s: raw(N - r, s),
    "der": lambda r, s: der(r, s),
    "der-of-zeros": lambda r, s: der(0, 0),
    "der-of-n": lambda r, s: der(N, N),
    "der-of-sixty-four-bytes": lambda r, s: der(r >> 24, s >> 24)[:64].ljust(64, b"\0"),
    "nothing-but-a-byte": lambda r, s: b"\0",
    "half": lambda r, s: raw(r, s)[:32],
    "a-byte-short": lambda r, s: raw(r, s)[:-1],
    "a-byte-long": lambda r, s: raw(r, s) + b"\0",
    "a-byte-before": lambda r, s: b"\0" + raw(r, s),
    "wider-numbers": lambda r, s: r.to_bytes(33) + s.to_bytes(33),
    "as-for-p384": lambda r, s: r.to_bytes(48) + s.to_bytes(48),
    "twice": lambda r, s: raw(r, s) * 2,
    "first-bit": lambda r, s: bytes([raw(r, s)[0] ^ 0x80]) + raw(r, s)[1:],
    "last-bit": lambda r, s: raw(r, s)[:-1] + bytes([raw(r, s)[-1] ^ 1]),
    "a-bit-in-the-middle": lambda r, s: raw(r ^ (1 << 100), s),
    "little-endian": lambda r, s: r.to_bytes(32, "little") + s.to_bytes(32, "little"),
    "hexadecimal": lambda r, s: raw(r, s).hex().encode(),
    "endless": lambda r, s: b"\1" * 3000,
}


@pytest.mark.parametrize("change", FORMS.values(), ids=FORMS)
async def test_a_signature_in_another_form_is_none(world: World, side: Side, change: Change) -> None:
    def forged(content: bytes) -> bytes:
        real = side.sign(content)
        return change(int.from_bytes(real[:32]), int.from_bytes(real[32:]))

    await world.refused(side.token(signature=forged))


async def test_a_signature_of_something_else_is_none_of_this(world: World, side: Side) -> None:
    for other in (
        lambda content: side.sign(b""),
        lambda content: side.sign(content + b"."),
        lambda content: side.sign(content.partition(b".")[0]),
        lambda content: side.sign(content.partition(b".")[2]),
        lambda content: side.sign(side.token().encode()),
    ):
        await world.refused(side.token(signature=other))


async def test_a_body_that_was_changed_after_it_was_signed_is_not_believed(world: World, side: Side) -> None:
    head, _, signature = side.token().split(".")
    _, body, _ = side.token(claims=side.claims(sub="usr_2")).split(".")
    await world.refused(f"{head}.{body}.{signature}")


async def test_a_header_that_was_changed_after_it_was_signed_is_not_believed(world: World, side: Side) -> None:
    _, body, signature = side.token().split(".")
    head, _, _ = side.token(side.header(alg="ES256", typ="at+jwt")).split(".")
    turned, _, _ = side.token({name: side.header()[name] for name in ("kid", "typ", "alg")}).split(".")
    assert head != turned
    await world.refused(f"{turned}.{body}.{signature}")


async def test_a_signature_that_is_mirrored_is_one_as_ecdsa_has_it(world: World, side: Side) -> None:
    """(r, n - s) is as good as (r, s) for whoever made it (FIPS 186-5): nothing here tells tokens apart by their bytes."""

    def mirrored(content: bytes) -> bytes:
        real = side.sign(content)
        return real[:32] + (N - int.from_bytes(real[32:])).to_bytes(32)

    principal = await world.rig.verifier.verify(side.token(signature=mirrored))
    assert principal.id
