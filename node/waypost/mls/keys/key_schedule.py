"""The key schedule (RFC 9420 §8): from one epoch's init secret to the next epoch's secrets."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from waypost.mls.base.hpke import PrivateKey
from waypost.mls.base.kdf import NH, derive_secret, expand_with_label, extract, hash_, mac
from waypost.mls.base.suites import CipherSuite


@dataclass(frozen=True)
class EpochSecrets:
    """What an epoch keeps. The encryption secret is not here: the secret tree consumes it (§9.2)."""

    init_secret: bytes = field(repr=False)
    sender_data_secret: bytes = field(repr=False)
    exporter_secret: bytes = field(repr=False)
    external_secret: bytes = field(repr=False)
    confirmation_key: bytes = field(repr=False)
    membership_key: bytes = field(repr=False)
    resumption_psk: bytes = field(repr=False)
    epoch_authenticator: bytes = field(repr=False)

    def confirmation_tag(self, confirmed_transcript_hash: bytes) -> bytes:
        """MAC(confirmation_key, confirmed_transcript_hash) (§6.1)."""
        return mac(self.confirmation_key, confirmed_transcript_hash)

    def external_key_pair(self, suite: CipherSuite) -> PrivateKey:
        """external_priv and external_pub."""
        return suite.derive_key_pair(self.external_secret)

    def export(self, label: bytes, context: bytes, length: int) -> bytes:
        """MLS-Exporter (§8.5)."""
        secret = derive_secret(self.exporter_secret, label)
        return expand_with_label(secret, b"exported", hash_(context), length)


#: Of a group that this client has left.
NO_SECRETS: Final = EpochSecrets(b"", b"", b"", b"", b"", b"", b"", b"")


@dataclass(frozen=True)
class Schedule:
    """What the key schedule gives at the start of an epoch; only `secrets` is kept."""

    joiner_secret: bytes = field(repr=False)
    welcome_secret: bytes = field(repr=False)
    encryption_secret: bytes = field(repr=False)
    secrets: EpochSecrets


def joiner_secret(init_secret: bytes, commit_secret: bytes, context: bytes) -> bytes:
    """From the previous epoch's init secret and the new epoch's encoded group context."""
    return expand_with_label(extract(init_secret, commit_secret), b"joiner", context, NH)


def welcome_secret(joiner: bytes, psk_secret: bytes) -> bytes:
    """What opens a Welcome's group info, before the group context is known."""
    return derive_secret(extract(joiner, psk_secret), b"welcome")


def schedule(joiner: bytes, psk_secret: bytes, context: bytes) -> Schedule:
    """Everything from the joiner secret on."""
    member_secret = extract(joiner, psk_secret)
    epoch_secret = expand_with_label(member_secret, b"epoch", context, NH)
    secrets, encryption_secret = from_epoch_secret(epoch_secret)
    return Schedule(joiner, derive_secret(member_secret, b"welcome"), encryption_secret, secrets)


def from_epoch_secret(epoch_secret: bytes) -> tuple[EpochSecrets, bytes]:
    """The epoch's secrets (table 4) and its encryption secret."""
    secrets = EpochSecrets(
        init_secret=derive_secret(epoch_secret, b"init"),
        sender_data_secret=derive_secret(epoch_secret, b"sender data"),
        exporter_secret=derive_secret(epoch_secret, b"exporter"),
        external_secret=derive_secret(epoch_secret, b"external"),
        confirmation_key=derive_secret(epoch_secret, b"confirm"),
        membership_key=derive_secret(epoch_secret, b"membership"),
        resumption_psk=derive_secret(epoch_secret, b"resumption"),
        epoch_authenticator=derive_secret(epoch_secret, b"authentication"),
    )
    return secrets, derive_secret(epoch_secret, b"encryption")
