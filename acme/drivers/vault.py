"""Cipher from one master secret: AES-256-GCM with a key per purpose (HKDF-SHA256, RFC 5869).

Sealed bytes are `version(1) ‖ nonce(12) ‖ ciphertext ‖ tag(16)`. Nonces are random: a key stays far below the 2^32
messages that NIST SP 800-38D allows. The master secret is 32 bytes or more and never leaves this object.
"""

from __future__ import annotations

import hashlib
import hmac
import os
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

_VERSION: Final = b"\x01"
_SALT: Final = b"acme-platform/vault/1"


class Vault:
    """`ports.Cipher` over a master secret."""

    def __init__(self, master: bytes) -> None:
        if len(master) < 32:
            raise ValueError("the master secret must be at least 32 bytes; make one with `openssl rand -base64 32`")
        self._master = master
        self._aeads: dict[str, AESGCM] = {}
        self._keys: dict[str, bytes] = {}

    def seal(self, purpose: str, plain: bytes, bound: bytes = b"") -> bytes:
        nonce = os.urandom(12)
        return _VERSION + nonce + self._aead(purpose).encrypt(nonce, plain, bound)

    def open(self, purpose: str, sealed: bytes, bound: bytes = b"") -> bytes:
        if len(sealed) < 29 or sealed[:1] != _VERSION:
            raise ValueError("not sealed by this vault")
        try:
            return self._aead(purpose).decrypt(sealed[1:13], sealed[13:], bound)
        except InvalidTag:
            raise ValueError("sealed with another key, for another purpose or bound to something else") from None

    def mac(self, purpose: str, message: bytes) -> bytes:
        key = self._keys.get(purpose)
        if key is None:
            key = self._keys[purpose] = self._derive("mac", purpose)
        return hmac.digest(key, message, hashlib.sha256)

    def _aead(self, purpose: str) -> AESGCM:
        aead = self._aeads.get(purpose)
        if aead is None:
            aead = self._aeads[purpose] = AESGCM(self._derive("aead", purpose))
        return aead

    def _derive(self, use: str, purpose: str) -> bytes:
        return HKDF(SHA256(), 32, _SALT, f"{use}/{purpose}".encode()).derive(self._master)
