"""Contents in the database are encrypted under a key from the secrets file, so that a copy of it gives none away."""

from __future__ import annotations

import hashlib
from collections.abc import Callable

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

from waypost.errors import Code, LocalError

_NONCE_BYTES = 12


class AtRest:
    """ChaCha20-Poly1305 with random nonces. `place` says where a value belongs, so that it opens nowhere else."""

    def __init__(self, seed: bytes, random: Callable[[int], bytes]) -> None:
        self._cipher = ChaCha20Poly1305(hashlib.blake2b(seed, digest_size=32, person=b"waypost at rest").digest())
        self._random = random

    def lock(self, value: bytes, place: bytes) -> bytes:
        nonce = self._random(_NONCE_BYTES)
        return nonce + self._cipher.encrypt(nonce, value, place)

    def unlock(self, locked: bytes, place: bytes) -> bytes:
        """Raises LocalError(STATE_DAMAGED)."""
        try:
            return self._cipher.decrypt(locked[:_NONCE_BYTES], locked[_NONCE_BYTES:], place)
        except (InvalidTag, ValueError):
            raise LocalError(Code.STATE_DAMAGED, "a stored content does not belong to these secrets") from None
