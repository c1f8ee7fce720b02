"""The self-signed certificate of a link: it carries a node's or a device's Ed25519 key into TLS (RFC 5280, RFC 8410).

It proves nothing by itself: identity comes from the proof inside the link (`protocol.handshake`), checked by
`keys.verify`. The key signs X.509 and TLS structures besides our own; none of those begins with `waypost/1 `.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.utils import CryptographyDeprecationWarning
from cryptography.x509.oid import NameOID

from waypost.clock import WallMs
from waypost.crypto.keys import SigningKey

#: A common name holds 64 characters, a provider's name up to 253: the name stands in subjectAltName alone.
_SUBJECT: Final = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "waypost")])


def self_signed(key: SigningKey, name: str, not_before: WallMs, not_after: WallMs, serial: int) -> bytes:
    """A DER certificate for that key, with `name` (IDNA A-labels) as its DNS name; times count in whole seconds.

    `serial` is 1 to 159 bits, random by custom. Raises ValueError for a serial out of range or times out of order.
    """
    private = Ed25519PrivateKey.from_private_bytes(key.seed)
    builder = (
        x509.CertificateBuilder()
        .subject_name(_SUBJECT)
        .issuer_name(_SUBJECT)
        .public_key(private.public_key())
        .serial_number(serial)
        .not_valid_before(_time(not_before))
        .not_valid_after(_time(not_after))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
    )
    return builder.sign(private, None).public_bytes(serialization.Encoding.DER)


def private_key_pem(key: SigningKey) -> bytes:
    """The key for a TLS library: PKCS#8, PEM, not encrypted. Never to be written to a file."""
    return Ed25519PrivateKey.from_private_bytes(key.seed).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def certificate_key(der: bytes) -> bytes | None:
    """The Ed25519 key in a certificate, whoever signed it; None for another kind of key or no certificate at all."""
    try:
        public = x509.load_der_x509_certificate(der).public_key()
    except (ValueError, UnsupportedAlgorithm, x509.InvalidVersion, CryptographyDeprecationWarning):
        # The library warns of what it will refuse one day, such as serial number 0; an error where warnings are errors.
        return None
    return public.public_bytes_raw() if isinstance(public, Ed25519PublicKey) else None


def _time(wall_ms: WallMs) -> datetime:
    # X.509 has no fractions of a second.
    return datetime.fromtimestamp(wall_ms // 1000, UTC)
