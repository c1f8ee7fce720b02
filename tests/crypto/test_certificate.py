from datetime import UTC, datetime

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st
from OpenSSL import SSL

from waypost.crypto.certificate import certificate_key, private_key_pem, self_signed
from waypost.crypto.keys import SigningKey

KEY = SigningKey(bytes(range(32)))
START_MS, END_MS = 1_700_000_000_123, 1_800_000_000_999
DER = self_signed(KEY, "birdy.local", START_MS, END_MS, 1)


def test_certificate_carries_key_name_and_times() -> None:
    certificate = x509.load_der_x509_certificate(DER)
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert certificate_key(DER) == KEY.public
    assert names.get_values_for_type(x509.DNSName) == ["birdy.local"]
    assert certificate.not_valid_before_utc == datetime(2023, 11, 14, 22, 13, 20, tzinfo=UTC)
    assert certificate.not_valid_after_utc == datetime(2027, 1, 15, 8, 0, tzinfo=UTC)
    assert certificate.serial_number == 1
    certificate.verify_directly_issued_by(certificate)


def test_certificate_is_the_same_each_time() -> None:
    assert self_signed(KEY, "birdy.local", START_MS, END_MS, 1) == DER
    assert self_signed(KEY, "birdy.local", START_MS, END_MS, 2) != DER


def test_longest_name_fits() -> None:
    name = ".".join(["a" * 63, "b" * 63, "c" * 63, "d" * 61])
    der = self_signed(KEY, name, START_MS, END_MS, 1)
    assert len(name) == 253
    assert certificate_key(der) == KEY.public


def test_bad_serial_and_times_are_refused() -> None:
    for start, end, serial in [(START_MS, END_MS, 0), (START_MS, END_MS, 1 << 160), (END_MS, START_MS, 1)]:
        with pytest.raises(ValueError, match=r"serial|before|after"):
            self_signed(KEY, "birdy.local", start, end, serial)


def test_pyopenssl_takes_certificate_and_key() -> None:
    private = serialization.load_pem_private_key(private_key_pem(KEY), None)
    assert isinstance(private, Ed25519PrivateKey)
    context = SSL.Context(SSL.TLS_METHOD)
    context.use_certificate(x509.load_der_x509_certificate(DER))
    context.use_privatekey(private)
    context.check_privatekey()


def test_other_kinds_of_key_are_none() -> None:
    private = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([])
    builder = x509.CertificateBuilder(name, name, private.public_key(), 1)
    builder = builder.not_valid_before(datetime(2026, 1, 1, tzinfo=UTC)).not_valid_after(
        datetime(2027, 1, 1, tzinfo=UTC)
    )
    der = builder.sign(private, hashes.SHA256()).public_bytes(serialization.Encoding.DER)
    assert certificate_key(der) is None


@given(st.binary(max_size=300))
def test_any_bytes_are_no_certificate(data: bytes) -> None:
    assert certificate_key(data) is None


def test_altered_certificate_gives_a_key_or_none() -> None:
    for at, byte in enumerate(DER):
        for value in (0, 1, 2, 4, 5, 0x30, 0x7F, 0x80, 0xFF, byte ^ 1):
            public = certificate_key(DER[:at] + bytes((value,)) + DER[at + 1 :])
            assert public is None or len(public) == 32
