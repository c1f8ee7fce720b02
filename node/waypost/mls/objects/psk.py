"""Pre-shared keys (RFC 9420 §8.4): their ids, where they come from, and the PSK secret."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from waypost.mls.base.bounds import PSKS_MAX
from waypost.mls.base.codec import Reader, opaque, u8, u16, u64
from waypost.mls.base.errors import MlsError, MlsFault
from waypost.mls.base.kdf import NH, ZERO, expand_with_label, extract
from waypost.mls.base.registry import PskType, ResumptionPskUsage, known


@dataclass(frozen=True)
class ExternalPskId:
    """A PSK that the application has provided to the members."""

    psk_id: bytes
    psk_nonce: bytes
    type = PskType.EXTERNAL

    def encode(self) -> bytes:
        return u8(PskType.EXTERNAL) + opaque(self.psk_id) + opaque(self.psk_nonce)


@dataclass(frozen=True)
class ResumptionPskId:
    """The resumption PSK of an epoch of a group."""

    usage: ResumptionPskUsage
    psk_group_id: bytes
    psk_epoch: int
    psk_nonce: bytes
    type = PskType.RESUMPTION

    def encode(self) -> bytes:
        epoch = opaque(self.psk_group_id) + u64(self.psk_epoch)
        return u8(PskType.RESUMPTION) + u8(self.usage) + epoch + opaque(self.psk_nonce)


#: PreSharedKeyID.
PskId = ExternalPskId | ResumptionPskId


def read_psk_id(reader: Reader) -> PskId:
    """PreSharedKeyID."""
    if known(PskType, reader.u8()) is PskType.EXTERNAL:
        return ExternalPskId(reader.opaque(), reader.opaque())
    usage = known(ResumptionPskUsage, reader.u8())
    return ResumptionPskId(usage, reader.opaque(), reader.u64(), reader.opaque())


@dataclass(frozen=True)
class Psks:
    """The PSKs that a caller has at hand: external ones by id, resumption PSKs of other groups by group id and epoch.

    A group finds its own resumption PSKs itself.
    """

    external: Mapping[bytes, bytes] = field(default_factory=dict, repr=False)
    resumption: Mapping[tuple[bytes, int], bytes] = field(default_factory=dict, repr=False)

    def secret(self, psk_id: PskId) -> bytes:
        """Raises MlsError(PSK_NOT_FOUND)."""
        if isinstance(psk_id, ExternalPskId):
            found = self.external.get(psk_id.psk_id)
        else:
            found = self.resumption.get((psk_id.psk_group_id, psk_id.psk_epoch))
        if found is None:
            raise MlsError(MlsFault.PSK_NOT_FOUND)
        return found

    def with_resumption(self, group_id: bytes, secrets: Mapping[int, bytes]) -> Psks:
        """The same and a group's own resumption PSKs by epoch."""
        own = {(group_id, epoch): secret for epoch, secret in secrets.items()}
        return Psks(self.external, {**self.resumption, **own})


def check_nonce(psk_id: PskId) -> None:
    """§12.1.4. Raises MlsError(PSK_NONCE_LENGTH)."""
    if len(psk_id.psk_nonce) != NH:
        raise MlsError(MlsFault.PSK_NONCE_LENGTH, f"{len(psk_id.psk_nonce)} bytes")


def psk_secret(psk_ids: Iterable[PskId], psks: Psks) -> bytes:
    """The PSK secret of these, in their order; zero for none. Raises MlsError: PSK_NOT_FOUND, TOO_MANY_PROPOSALS."""
    ids = list(psk_ids)
    if len(ids) > PSKS_MAX:
        raise MlsError(MlsFault.TOO_MANY_PROPOSALS, f"{len(ids)} PSKs")
    secret = ZERO
    for index, psk_id in enumerate(ids):
        extracted = extract(ZERO, psks.secret(psk_id))
        label = psk_id.encode() + u16(index) + u16(len(ids))
        secret = extract(expand_with_label(extracted, b"derived psk", label, NH), secret)
    return secret
