"""What one who has been removed can still do with all the keys that it ever had."""

from __future__ import annotations

from collections.abc import Iterator

from waypost.mls.base.errors import MlsError
from waypost.mls.base.hpke import PrivateKey
from waypost.mls.base.kdf import ZERO, derive_secret
from waypost.mls.base.registry import SenderType
from waypost.mls.base.suites import UPDATE_PATH_NODE
from waypost.mls.objects.commit import Commit, ProposalRef, UpdatePath
from waypost.mls.objects.framing import PrivateMessage, PublicMessage, decode_message
from waypost.mls.objects.psk import Psks
from waypost.mls.steps.applying import Applied, apply_list, new_parameters
from waypost.mls.steps.epoch import Epoch, GroupState, SignedContent, StepSecrets, next_schedule, provisional_context
from waypost.mls.steps.processing import open_current
from waypost.mls.steps.proposal_list import SentProposal
from waypost.mls.tree.treekem import merge_path


def authenticators_in_reach(state: GroupState, message: bytes, psks: Psks) -> list[bytes]:
    """The epoch authenticators that the removed one can compute for the epoch after the commit that removed it.

    It tries each of its private keys on each ciphertext of the path, and that there is no commit secret at all.
    """
    body = decode_message(message)
    assert isinstance(body, PublicMessage | PrivateMessage)
    opened = open_current(state.epoch, state.secret_tree, body)
    commit, sender = opened.message.content.content, opened.message.content.sender
    assert isinstance(commit, Commit)
    if sender.type is not SenderType.MEMBER:
        return []
    proposals = [
        state.proposals[each.reference].sent if isinstance(each, ProposalRef) else SentProposal(each, sender)
        for each in commit.proposals
    ]
    epoch = state.epoch
    parameters = new_parameters(proposals, epoch.parameters)
    applied = apply_list(proposals, epoch.tree, parameters)
    guesses = [ZERO]
    if commit.path is not None:
        merge_path(applied.tree, sender.index, commit.path)
        guesses += _commit_secrets(epoch, applied, commit.path, _keys(state))
    signed = SignedContent(opened.message.wire_format, opened.message.content, opened.message.auth.signature)
    found = []
    for commit_secret in guesses:
        secrets = StepSecrets.of(epoch.secrets.init_secret, commit_secret, applied, state.psks(psks))
        _, begun = next_schedule(epoch.context, epoch.interim_transcript_hash, applied, signed, secrets)
        found.append(begun.secrets.epoch_authenticator)
    return found


def can_open(state: GroupState, message: bytes) -> bool:
    """True if the message, whatever epoch it names, opens with the secrets of that state's epoch."""
    body = decode_message(message)
    assert isinstance(body, PrivateMessage)
    try:
        open_current(state.epoch, state.secret_tree, body)
    except MlsError:
        return False
    return True


def _keys(state: GroupState) -> list[PrivateKey]:
    waiting = [cached.update_key for cached in state.proposals.values() if cached.update_key is not None]
    return [*state.epoch.private_keys.values(), *waiting]


def _commit_secrets(epoch: Epoch, applied: Applied, path: UpdatePath, keys: list[PrivateKey]) -> Iterator[bytes]:
    context = provisional_context(epoch.context, applied).encoded
    for position, node in enumerate(path.nodes):
        for sealed in node.encrypted_path_secret:
            for key in keys:
                try:
                    secret = epoch.suite.decrypt_with_label(key, UPDATE_PATH_NODE, context, sealed)
                except MlsError:
                    continue
                for _ in path.nodes[position:]:
                    secret = derive_secret(secret, b"path")
                yield secret
