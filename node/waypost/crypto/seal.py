"""Suite `seal.1`: one body for all devices of one recipient.

The padded content is encrypted once; the content key is sealed by HPKE (`kem`) to each device's key package. Integers
are unsigned; all sizes are fixed but the last, so that a body can be taken apart in one way only:

    body       = header ‖ ciphertext
    header     = version (1 byte: 1) ‖ count (1 byte: 1…DEVICES_PER_ACCOUNT_MAX) ‖ commitment (32 bytes) ‖ count × entry
    entry      = package id (16 bytes) ‖ sealed key (1,168 bytes: HPKE enc 1,120, encrypted content key 32, tag 16)
    ciphertext = ChaCha20-Poly1305(key, nonce = 12 zero bytes, plaintext = pad(content), aad = context ‖ header)

    package id = BLAKE2b-128 of the key package's signed payload bytes; no id occurs twice in a body
    address    = length of the recipient's canonical address text in UTF-8 (2 bytes, big-endian) ‖ that text
    context    = b"waypost/1 seal.1" ‖ 0x00 ‖ address
    HPKE info  = context ‖ version ‖ count ‖ the package ids in order
    key ‖ commitment = BLAKE2b-512(key = content key, data = HPKE info), 32 bytes each

The nonce can be zero because the key is used once: it comes from a content key that is fresh for each body.
HPKE info and AAD bind suite, recipient and header: an entry or a ciphertext moved to another body, or a body sent on
to somebody else, does not open. ChaCha20-Poly1305 alone would let a hostile sender make one ciphertext that reads
differently on two devices of the recipient; the commitment, the same for all, excludes that.

HPKE base mode authenticates nobody. So the content is a signed structure, made by `sign_content`; its payload must name
sender, recipient and what it is for, and whoever opens it must compare them. That is the callers' duty: here a payload
is just bytes.

    signed content = payload ‖ device's Ed25519 public key (32 bytes) ‖ signature for Purpose.CONTENT (64 bytes)
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

from waypost.crypto import kem, padding
from waypost.crypto.keys import KEY_BYTES, SIGNATURE_BYTES, Purpose, SigningKey, verify
from waypost.errors import Code, LocalError, PeerFault, Refused
from waypost.ids import DeviceKey
from waypost.limits import BODY_MAX_BYTES, DEVICES_PER_ACCOUNT_MAX

SUITE: Final = "seal.1"
CONTENT_KEY_BYTES: Final = 32
PACKAGE_ID_BYTES: Final = 16

_VERSION: Final = 1
_COMMITMENT_BYTES: Final = 32
_FIXED_BYTES: Final = 2 + _COMMITMENT_BYTES
_SEALED_KEY_BYTES: Final = CONTENT_KEY_BYTES + kem.OVERHEAD_BYTES
_ENTRY_BYTES: Final = PACKAGE_ID_BYTES + _SEALED_KEY_BYTES
_TAG_BYTES: Final = 16
_ZERO_NONCE: Final = bytes(12)
_LABEL: Final = b"waypost/1 seal.1\0"


@dataclass(frozen=True, slots=True)
class SealedKey:
    """The content key, for the device that published one package."""

    package_id: bytes
    sealed: bytes


@dataclass(frozen=True, slots=True)
class Sealed:
    """A body taken apart, nothing of it verified."""

    header: bytes
    commitment: bytes
    keys: tuple[SealedKey, ...]
    ciphertext: bytes

    @property
    def package_ids(self) -> tuple[bytes, ...]:
        return tuple(key.package_id for key in self.keys)


def package_id(payload: bytes) -> bytes:
    """16 bytes: the name of a key package, from the payload bytes that its device signed."""
    return hashlib.blake2b(payload, digest_size=PACKAGE_ID_BYTES).digest()


def sealed_length(content_bytes: int, devices: int) -> int:
    """How long the body for that much content and that many devices is."""
    return _FIXED_BYTES + devices * _ENTRY_BYTES + padding.padded_length(content_bytes) + _TAG_BYTES


def seal(content: bytes, content_key: bytes, recipient: str, packages: Sequence[tuple[bytes, bytes]]) -> bytes:
    """The body for the devices behind `packages`: (package id, X-Wing public key) each.

    `content_key` is 32 random bytes, never used before; `recipient` the canonical address text.
    Raises Refused(TOO_LARGE) where the body would exceed BODY_MAX_BYTES, PeerFault(BAD_PACKAGE) for an unusable public
    key or a package named twice, ValueError for no package, too many, or a content key or package id of a wrong length.
    """
    ids = [identifier for identifier, _ in packages]
    if not 1 <= len(ids) <= DEVICES_PER_ACCOUNT_MAX:
        raise ValueError(f"a body is for 1 to {DEVICES_PER_ACCOUNT_MAX} devices, not {len(ids)}")
    if len(content_key) != CONTENT_KEY_BYTES or any(len(identifier) != PACKAGE_ID_BYTES for identifier in ids):
        raise ValueError(f"a content key has {CONTENT_KEY_BYTES} bytes, a package id {PACKAGE_ID_BYTES}")
    if len(set(ids)) != len(ids):
        raise PeerFault(Code.BAD_PACKAGE, "one package for two devices")
    if sealed_length(len(content), len(ids)) > BODY_MAX_BYTES:
        raise Refused(Code.TOO_LARGE, f"{len(content)} bytes for {len(ids)} devices")
    context = _context(recipient)
    info = _info(context, ids)
    key, commitment = _derive(content_key, info)
    entries = [identifier + kem.seal_to(public, info, content_key) for identifier, public in packages]
    header = bytes((_VERSION, len(ids))) + commitment + b"".join(entries)
    return header + ChaCha20Poly1305(key).encrypt(_ZERO_NONCE, padding.pad(content), context + header)


def parse_sealed(body: bytes) -> Sealed:
    """Take a body apart, for instance to see which packages it uses. Raises PeerFault(MALFORMED_ENVELOPE)."""
    if len(body) > BODY_MAX_BYTES or len(body) < _FIXED_BYTES or body[0] != _VERSION:
        raise PeerFault(Code.MALFORMED_ENVELOPE, "not a seal.1 body")
    count = body[1]
    end = _FIXED_BYTES + count * _ENTRY_BYTES
    if not 1 <= count <= DEVICES_PER_ACCOUNT_MAX or len(body) < end + padding.FLOOR_BYTES + _TAG_BYTES:
        raise PeerFault(Code.MALFORMED_ENVELOPE, "seal.1 body is cut short or for too many devices")
    keys = tuple(
        SealedKey(body[at : at + PACKAGE_ID_BYTES], body[at + PACKAGE_ID_BYTES : at + _ENTRY_BYTES])
        for at in range(_FIXED_BYTES, end, _ENTRY_BYTES)
    )
    if len({key.package_id for key in keys}) != count:
        raise PeerFault(Code.MALFORMED_ENVELOPE, "seal.1 body names a package twice")
    return Sealed(body[:end], body[2:_FIXED_BYTES], keys, body[end:])


def open_sealed(body: bytes, recipient: str, find_key: Callable[[bytes], kem.KemKey | None]) -> bytes:
    """The content of a body for `recipient`, the canonical address text of the account that opens it.

    `find_key` gives the key behind a package id, or None; the first that it gives decides. Raises
    PeerFault(MALFORMED_ENVELOPE) for a body that is not well-formed, LocalError(CANNOT_DECRYPT) where no key of ours
    fits or anything was altered. What comes back has been authenticated by nobody: see `verify_content`.
    """
    sealed = parse_sealed(body)
    context = _context(recipient)
    info = _info(context, sealed.package_ids)
    content_key = _open_key(sealed, info, find_key)
    key, commitment = _derive(content_key, info)
    if not hmac.compare_digest(commitment, sealed.commitment):
        raise LocalError(Code.CANNOT_DECRYPT)
    try:
        padded = ChaCha20Poly1305(key).decrypt(_ZERO_NONCE, sealed.ciphertext, context + sealed.header)
    except InvalidTag:
        raise LocalError(Code.CANNOT_DECRYPT) from None
    return padding.unpad(padded)


def sign_content(key: SigningKey, payload: bytes) -> bytes:
    """`payload ‖ public key ‖ signature` for Purpose.CONTENT.

    The payload must name the sender's address, the recipient's address and what it is for.
    """
    return payload + key.public + key.sign(Purpose.CONTENT, payload)


def verify_content(data: bytes) -> tuple[DeviceKey, bytes]:
    """The device key that signed, and the payload.

    Raises PeerFault: MALFORMED_ENVELOPE for something too short, BAD_SIGNATURE. The caller checks that the device
    belongs to the sender whom the payload names, and that the payload names this recipient.
    """
    if len(data) < KEY_BYTES + SIGNATURE_BYTES:
        raise PeerFault(Code.MALFORMED_ENVELOPE, "content carries no signature")
    payload, signature = data[: -KEY_BYTES - SIGNATURE_BYTES], data[-SIGNATURE_BYTES:]
    public = data[-KEY_BYTES - SIGNATURE_BYTES : -SIGNATURE_BYTES]
    verify(public, Purpose.CONTENT, payload, signature)
    return DeviceKey(public), payload


def _open_key(sealed: Sealed, info: bytes, find_key: Callable[[bytes], kem.KemKey | None]) -> bytes:
    for entry in sealed.keys:
        key = find_key(entry.package_id)
        if key is not None:
            return key.open(info, entry.sealed)
    raise LocalError(Code.CANNOT_DECRYPT)


def _context(recipient: str) -> bytes:
    address = recipient.encode()
    return _LABEL + len(address).to_bytes(2, "big") + address


def _info(context: bytes, package_ids: Sequence[bytes]) -> bytes:
    return context + bytes((_VERSION, len(package_ids))) + b"".join(package_ids)


def _derive(content_key: bytes, info: bytes) -> tuple[bytes, bytes]:
    """AEAD key and commitment: halves of one hash, so that whoever commits to one has committed to the other."""
    both = hashlib.blake2b(info, key=content_key, digest_size=64).digest()
    return both[:32], both[32:]
