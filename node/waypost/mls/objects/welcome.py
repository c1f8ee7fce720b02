"""Welcome and GroupSecrets (RFC 9420 §12.4.3.1): structures and their sealing."""

from __future__ import annotations

from dataclasses import dataclass, field

from cryptography.exceptions import InvalidTag

from waypost.mls.base.codec import Reader, decode, opaque, optional, u16, vector
from waypost.mls.base.errors import MlsError, MlsFault
from waypost.mls.base.kdf import expand_with_label
from waypost.mls.base.suites import NONCE_BYTES, WELCOME, CipherSuite
from waypost.mls.objects.commit import Sealed, encode_sealed, read_sealed
from waypost.mls.objects.group_info import GroupInfo
from waypost.mls.objects.key_package import KeyPackage, KeyPackageBundle
from waypost.mls.objects.psk import PskId, read_psk_id


@dataclass(frozen=True)
class GroupSecrets:
    joiner_secret: bytes = field(repr=False)
    path_secret: bytes | None = field(repr=False)
    psks: tuple[PskId, ...]

    def encode(self) -> bytes:
        path_secret = None if self.path_secret is None else opaque(self.path_secret)
        return opaque(self.joiner_secret) + optional(path_secret) + vector(psk.encode() for psk in self.psks)

    @classmethod
    def read(cls, reader: Reader) -> GroupSecrets:
        return cls(reader.opaque(), reader.optional(Reader.opaque), reader.vector(read_psk_id))


@dataclass(frozen=True)
class EncryptedGroupSecrets:
    new_member: bytes
    sealed: Sealed

    def encode(self) -> bytes:
        return opaque(self.new_member) + encode_sealed(self.sealed)

    @classmethod
    def read(cls, reader: Reader) -> EncryptedGroupSecrets:
        return cls(reader.opaque(), read_sealed(reader))


@dataclass(frozen=True)
class Welcome:
    cipher_suite: int
    secrets: tuple[EncryptedGroupSecrets, ...]
    encrypted_group_info: bytes

    def encode(self) -> bytes:
        secrets = vector(secret.encode() for secret in self.secrets)
        return u16(self.cipher_suite) + secrets + opaque(self.encrypted_group_info)

    @classmethod
    def read(cls, reader: Reader) -> Welcome:
        return cls(reader.u16(), reader.vector(EncryptedGroupSecrets.read), reader.opaque())

    def open_secrets(self, bundle: KeyPackageBundle) -> GroupSecrets:
        """What is sealed to that key package. Raises MlsError: NO_KEY_PACKAGE, WELCOME_SUITE, HPKE_OPEN_FAILED."""
        ref = bundle.key_package.ref
        sealed = next((secret.sealed for secret in self.secrets if secret.new_member == ref), None)
        if sealed is None:
            raise MlsError(MlsFault.NO_KEY_PACKAGE)
        if self.cipher_suite != bundle.key_package.cipher_suite:
            raise MlsError(MlsFault.WELCOME_SUITE)
        opened = bundle.suite.decrypt_with_label(bundle.init_private, WELCOME, self.encrypted_group_info, sealed)
        return decode(opened, GroupSecrets.read)

    def open_group_info(self, suite: CipherSuite, welcome_secret: bytes) -> GroupInfo:
        """Raises MlsError(GROUP_INFO_OPEN_FAILED)."""
        key, nonce = _key_and_nonce(suite, welcome_secret)
        try:
            opened = suite.aead(key).decrypt(nonce, self.encrypted_group_info, None)
        except InvalidTag:
            raise MlsError(MlsFault.GROUP_INFO_OPEN_FAILED) from None
        return decode(opened, GroupInfo.read)


def seal_group_info(suite: CipherSuite, welcome_secret: bytes, group_info: GroupInfo) -> bytes:
    """`encrypted_group_info`."""
    key, nonce = _key_and_nonce(suite, welcome_secret)
    return suite.aead(key).encrypt(nonce, group_info.encode(), None)


def seal_secrets(
    suite: CipherSuite, package: KeyPackage, encrypted_group_info: bytes, secrets: GroupSecrets
) -> EncryptedGroupSecrets:
    """The secrets for one new member. Raises MlsError(BAD_HPKE_KEY)."""
    sealed = suite.encrypt_with_label(package.init_key, WELCOME, encrypted_group_info, secrets.encode())
    return EncryptedGroupSecrets(package.ref, sealed)


def _key_and_nonce(suite: CipherSuite, welcome_secret: bytes) -> tuple[bytes, bytes]:
    key = expand_with_label(welcome_secret, b"key", b"", suite.key_bytes)
    return key, expand_with_label(welcome_secret, b"nonce", b"", NONCE_BYTES)
