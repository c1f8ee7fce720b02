"""A group's state as bytes, in two parts: what stands until something is proposed or committed, and the message keys.

Each part is version, contents in the RFC's encoding, and the SHA-256 of both. The second part names the hash of the
first, so that parts which do not belong together are noticed. The hashes find damage, not malice: what is stored here
is secret and must be kept so.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterator
from typing import Final, NamedTuple

from waypost.mls.base.bounds import OWN
from waypost.mls.base.codec import Reader, decode, opaque, optional, u8, u16, u32, u64, vector
from waypost.mls.base.errors import MlsError, MlsFault
from waypost.mls.base.signing import SignatureKey
from waypost.mls.base.suites import cipher_suite
from waypost.mls.keys.key_schedule import EpochSecrets
from waypost.mls.keys.protection import EpochKeys
from waypost.mls.keys.secret_tree import MessageKey, Ratchet, SecretTree
from waypost.mls.objects.credentials import read_credential
from waypost.mls.objects.framing import Sender
from waypost.mls.objects.group_context import GroupContext
from waypost.mls.objects.proposals import ReInit, encode_proposal, read_proposal
from waypost.mls.objects.psk import read_psk_id
from waypost.mls.steps.epoch import (
    CachedProposal,
    Epoch,
    GroupState,
    GroupStatus,
    NextEpoch,
    PastEpoch,
    PendingCommit,
    Welcomed,
)
from waypost.mls.steps.proposal_list import SentProposal
from waypost.mls.tree.ratchet_tree import RatchetTree

VERSION: Final = 1
_HASH_BYTES: Final = 32


class StoredState(NamedTuple):
    """The two parts. `messages` changes with every message; `standing` grows with the group and seldom changes."""

    standing: bytes
    messages: bytes


def dump(state: GroupState) -> StoredState:
    """Everything that `load` needs. Secret."""
    standing = _seal(
        u16(VERSION),
        _epoch(state.epoch),
        vector(map(_past, state.past)),
        vector(map(_proposal, state.proposals.values())),
        optional(None if state.pending is None else _pending(state.pending)),
        vector(u64(epoch) + opaque(secret) for epoch, secret in state.resumption_psks.items()),
        u8(state.status.value),
        optional(None if state.reinit is None else state.reinit.body()),
    )
    past = vector(_secret_tree(past.secret_tree) for past in state.past)
    return StoredState(standing, _seal(u16(VERSION), standing[-_HASH_BYTES:], _secret_tree(state.secret_tree), past))


def load(stored: StoredState) -> GroupState:
    """The reverse of `dump`. Raises MlsError: STATE_VERSION, STATE_CORRUPT."""
    standing, messages = _unseal(stored.standing), _unseal(stored.messages)
    try:
        bound_to, secret_tree, past = decode(messages, _read_messages, OWN)
        if bound_to != stored.standing[-_HASH_BYTES:]:
            raise MlsError(MlsFault.STATE_CORRUPT, "the parts do not belong together")
        return decode(standing, lambda reader: _read_standing(reader, secret_tree, past), OWN)
    except MlsError as error:
        if error.fault in (MlsFault.STATE_VERSION, MlsFault.STATE_CORRUPT):
            raise
        raise MlsError(MlsFault.STATE_CORRUPT, str(error)) from error


def join(stored: StoredState) -> bytes:
    """Both parts in one."""
    return opaque(stored.standing) + opaque(stored.messages)


def split(data: bytes) -> StoredState:
    """The reverse of `join`. Raises MlsError(STATE_CORRUPT)."""
    try:
        return decode(data, lambda reader: StoredState(reader.opaque(), reader.opaque()), OWN)
    except MlsError as error:
        raise MlsError(MlsFault.STATE_CORRUPT, str(error)) from error


def _seal(*parts: bytes) -> bytes:
    body = b"".join(parts)
    return body + hashlib.sha256(body).digest()


def _unseal(data: bytes) -> bytes:
    body, tail = data[:-_HASH_BYTES], data[-_HASH_BYTES:]
    if not hmac.compare_digest(hashlib.sha256(body).digest(), tail):
        raise MlsError(MlsFault.STATE_CORRUPT)
    return body


def _check_version(reader: Reader) -> None:
    version = reader.u16()
    if version != VERSION:
        raise MlsError(MlsFault.STATE_VERSION, f"version {version}")


def _read_messages(reader: Reader) -> tuple[bytes, SecretTree, tuple[SecretTree, ...]]:
    _check_version(reader)
    return reader.raw(_HASH_BYTES), _read_secret_tree(reader), reader.vector(_read_secret_tree)


def _read_standing(reader: Reader, secret_tree: SecretTree, past_trees: tuple[SecretTree, ...]) -> GroupState:
    _check_version(reader)
    epoch, trees = _read_epoch(reader), iter(past_trees)
    past = reader.vector(lambda each: _read_past(each, trees))
    proposals = {cached.sent.reference: cached for cached in reader.vector(_ProposalReader(epoch).read)}
    pending = reader.optional(_read_pending)
    resumption = dict(reader.vector(lambda each: (each.u64(), each.opaque())))
    try:
        status = GroupStatus(reader.u8())
    except ValueError:
        raise MlsError(MlsFault.STATE_CORRUPT, "status") from None
    return GroupState(epoch, secret_tree, past, proposals, pending, resumption, status, reader.optional(ReInit.read))


# ── epochs ───────────────────────────────────────────────────────────────────────────────────────────────────────


def _epoch(epoch: Epoch) -> bytes:
    secrets = epoch.secrets
    keys = epoch.private_keys.items()
    return b"".join(
        (
            opaque(epoch.context.encoded),
            opaque(epoch.encoded_tree),
            opaque(secrets.init_secret),
            opaque(secrets.sender_data_secret),
            opaque(secrets.exporter_secret),
            opaque(secrets.external_secret),
            opaque(secrets.confirmation_key),
            opaque(secrets.membership_key),
            opaque(secrets.resumption_psk),
            opaque(secrets.epoch_authenticator),
            opaque(epoch.interim_transcript_hash),
            u32(epoch.leaf_index),
            vector(u32(node) + opaque(key.data) for node, key in keys),
            opaque(epoch.signature_key.seed),
        )
    )


def _read_epoch(reader: Reader) -> Epoch:
    context = decode(reader.opaque(), GroupContext.read, OWN)
    tree = decode(reader.opaque(), RatchetTree.read, OWN)
    suite = cipher_suite(context.cipher_suite)
    secrets = EpochSecrets(
        init_secret=reader.opaque(),
        sender_data_secret=reader.opaque(),
        exporter_secret=reader.opaque(),
        external_secret=reader.opaque(),
        confirmation_key=reader.opaque(),
        membership_key=reader.opaque(),
        resumption_psk=reader.opaque(),
        epoch_authenticator=reader.opaque(),
    )
    interim, leaf_index = reader.opaque(), reader.u32()
    keys = dict(reader.vector(lambda each: (each.u32(), suite.kem.private_key(each.opaque()))))
    return Epoch(suite, context, tree, secrets, interim, leaf_index, keys, SignatureKey(reader.opaque()))


def _past(past: PastEpoch) -> bytes:
    return b"".join(
        (
            u64(past.number),
            u16(past.keys.suite.value),
            opaque(past.keys.context),
            opaque(past.keys.sender_data_secret),
            past.encoded_senders,
            u32(past.leaf_index),
            u64(past.ended),
        )
    )


def _read_past(reader: Reader, trees: Iterator[SecretTree]) -> PastEpoch:
    number, suite = reader.u64(), cipher_suite(reader.u16())
    keys = EpochKeys(suite, reader.opaque(), reader.opaque(), b"")
    secret_tree = next(trees, None)
    if secret_tree is None:
        raise MlsError(MlsFault.STATE_CORRUPT, "a past epoch without its secret tree")
    senders = dict(reader.vector(lambda each: (each.u32(), (each.opaque(), read_credential(each)))))
    return PastEpoch(number, keys, secret_tree, senders, reader.u32(), reader.u64())


# ── the secret tree ──────────────────────────────────────────────────────────────────────────────────────────────


def _secret_tree(tree: SecretTree) -> bytes:
    ratchets = (
        u32(leaf) + u8(kind) + opaque(ratchet.secret) + u64(ratchet.generation) + _skipped(ratchet)
        for (leaf, kind), ratchet in tree.ratchets.items()
    )
    nodes = (u32(node) + opaque(secret) for node, secret in tree.nodes.items())
    head = u8(tree.key_bytes) + u32(tree.leaf_count) + u64(tree.used)
    return head + vector(nodes) + vector(ratchets)


def _skipped(ratchet: Ratchet) -> bytes:
    return vector(u32(step) + opaque(key) + opaque(nonce) for step, (key, nonce) in ratchet.skipped.items())


def _read_secret_tree(reader: Reader) -> SecretTree:
    key_bytes, leaf_count, used = reader.u8(), reader.u32(), reader.u64()
    nodes = dict(reader.vector(lambda each: (each.u32(), each.opaque())))
    ratchets = dict(reader.vector(_read_ratchet))
    skipped = sum(len(ratchet.skipped) for ratchet in ratchets.values())
    return SecretTree(key_bytes, leaf_count, nodes, ratchets, used, skipped)


def _read_ratchet(reader: Reader) -> tuple[tuple[int, int], Ratchet]:
    place = reader.u32(), reader.u8()
    secret, generation = reader.opaque(), reader.u64()
    skipped = dict(reader.vector(lambda each: (each.u32(), MessageKey(each.opaque(), each.opaque()))))
    return place, Ratchet(secret, generation, skipped)


# ── what waits ───────────────────────────────────────────────────────────────────────────────────────────────────


def _proposal(cached: CachedProposal) -> bytes:
    sent = cached.sent
    key, signature_key = cached.update_key, cached.update_signature_key
    return b"".join(
        (
            opaque(sent.reference),
            sent.sender.encode(),
            encode_proposal(sent.proposal),
            optional(None if key is None else opaque(key.data)),
            optional(None if signature_key is None else opaque(signature_key.seed)),
        )
    )


class _ProposalReader:
    """Reads cached proposals; the epoch's suite says of what kind an Update's private key is."""

    def __init__(self, epoch: Epoch) -> None:
        self._kem = epoch.suite.kem

    def read(self, reader: Reader) -> CachedProposal:
        reference, sender, proposal = reader.opaque(), Sender.read(reader), read_proposal(reader)
        key = reader.optional(lambda each: self._kem.private_key(each.opaque()))
        signature_key = reader.optional(lambda each: SignatureKey(each.opaque()))
        return CachedProposal(SentProposal(proposal, sender, reference), key, signature_key)


def _pending(pending: PendingCommit) -> bytes:
    welcomes = (opaque(each.message) + vector(map(opaque, each.new_members)) for each in pending.welcomes)
    return b"".join(
        (
            opaque(pending.message),
            vector(welcomes),
            vector(map(encode_proposal, pending.proposals)),
            vector(psk.encode() for psk in pending.psks),
            _epoch(pending.step.epoch),
            _secret_tree(pending.step.secret_tree),
            optional(None if pending.step.reinit is None else pending.step.reinit.body()),
        )
    )


def _read_pending(reader: Reader) -> PendingCommit:
    message = reader.opaque()
    welcomes = reader.vector(lambda each: Welcomed(each.opaque(), each.vector(Reader.opaque)))
    proposals, psks = reader.vector(read_proposal), reader.vector(read_psk_id)
    step = NextEpoch(_read_epoch(reader), _read_secret_tree(reader), reader.optional(ReInit.read))
    return PendingCommit(message, welcomes, proposals, psks, step)
