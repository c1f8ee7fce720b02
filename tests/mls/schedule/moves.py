"""What each action of a schedule does. A move returns False where it cannot be made."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from scripts.support.mls.members import NOW, signer
from tests.mls.schedule.client import PSKS, Client
from tests.mls.schedule.hub import Kind, Letter, Violation
from tests.mls.schedule.steps import Action, Crash, Step

from waypost.mls.base.errors import MlsError, MlsFault
from waypost.mls.base.registry import ResumptionPskUsage, WireFormat
from waypost.mls.external import propose_externally
from waypost.mls.group import Group
from waypost.mls.objects.proposals import Add, PreSharedKey, Proposal, Remove
from waypost.mls.objects.psk import ExternalPskId, ResumptionPskId
from waypost.mls.steps.committing import CommitOptions, PathChoice
from waypost.mls.steps.sending import Framing, UpdateOptions

if TYPE_CHECKING:
    from tests.mls.schedule.play import Play

Move = Callable[["Play", Client, Step], bool]

#: May propose from outside the group.
STEWARD: Final = signer("steward")


def can(action: Action, client: Client) -> bool:
    """Whether that client has what the action is about, as far as that is easily seen."""
    match action:
        case Action.HEAR | Action.HEAR_AND_KEEP | Action.LOSE:
            return bool(client.arrived)
        case Action.SUBMIT | Action.DROP_COMMIT:
            return client.active is not None and client.active.pending is not None
        case Action.FOLLOW:
            return client.behind
        case Action.JOIN_FROM_OUTSIDE | Action.RESTART:
            return True
        case _:
            return client.active is not None


# ── text ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def say(play: Play, client: Client, data: bytes, crash: Crash) -> bool:
    group = client.active
    if group is None or group.proposals:
        return False
    epoch, audience = group.snapshot.epoch, _names(group)
    after, message = group.encrypt(data, play.random)
    letter = Letter(Kind.TEXT, client.name, message, epoch, audience, data)
    if client.keep(client.stored(after), crash, letter):
        play.last_said = letter
    return True


def _say(play: Play, client: Client, step: Step) -> bool:
    return say(play, client, f"{client.name} {step.pick}".encode(), step.crash)


def _hear(play: Play, client: Client, step: Step) -> bool:
    return _hear_one(client, step, keep=False)


def _hear_and_keep(play: Play, client: Client, step: Step) -> bool:
    return _hear_one(client, step, keep=True)


def _hear_one(client: Client, step: Step, *, keep: bool) -> bool:
    if not client.arrived:
        return False
    letter = client.arrived.pop(step.pick % len(client.arrived))
    if not client.hear(letter, step.crash) or keep:
        client.arrived.append(letter)
    return True


def _lose(play: Play, client: Client, step: Step) -> bool:
    if client.arrived:
        del client.arrived[step.pick % len(client.arrived)]
    return True


# ── proposals ────────────────────────────────────────────────────────────────────────────────────────────────────


def _propose(play: Play, client: Client, proposal: Proposal | None, crash: Crash) -> bool:
    group = client.active
    if group is None or proposal is None:
        return False
    epoch = group.snapshot.epoch
    try:
        after, message = group.propose(proposal, play.random, NOW, _framing(play))
    except MlsError as error:
        # The same PublicMessage again: signatures are deterministic.
        if error.fault is MlsFault.PROPOSAL_REPLAYED:
            return False
        raise Violation(f"{client.name} cannot propose {proposal}: {error}") from error
    return client.keep(client.stored(after), crash, Letter(Kind.PROPOSAL, client.name, message, epoch))


def _propose_add(play: Play, client: Client, step: Step) -> bool:
    return _propose(play, client, _add(play, client, step), step.crash)


def _propose_remove(play: Play, client: Client, step: Step) -> bool:
    return _propose(play, client, _remove(client, step), step.crash)


def _propose_psk(play: Play, client: Client, step: Step) -> bool:
    return _propose(play, client, PreSharedKey(ExternalPskId(b"shared", play.random(32))), step.crash)


def _propose_update(play: Play, client: Client, step: Step) -> bool:
    group = client.active
    if group is None:
        return False
    epoch = group.snapshot.epoch
    key = signer(f"{client.name} {play.random(8).hex()}") if step.pick % 2 else None
    after, message = group.propose_update(play.random, NOW, UpdateOptions(signature_key=key), _framing(play))
    return client.keep(client.stored(after), step.crash, Letter(Kind.PROPOSAL, client.name, message, epoch))


def _propose_from_outside(play: Play, client: Client, step: Step) -> bool:
    """The steward, who is no member, sees the group as that client does."""
    group = client.active
    proposal = _remove(client, step) if step.pick % 2 else _add(play, client, step)
    if group is None or proposal is None or group.epoch != play.hub.epoch:
        return False
    message = propose_externally(group.group_id, group.epoch, 0, proposal, STEWARD)
    play.send(Letter(Kind.PROPOSAL, "steward", message))
    return True


# ── commits ──────────────────────────────────────────────────────────────────────────────────────────────────────


def commit(play: Play, client: Client, options: CommitOptions, crash: Crash) -> bool:
    group = client.active
    if group is None or group.pending is not None:
        return False
    try:
        after, _ = group.commit(play.random, NOW, options, PSKS)
    except MlsError as error:
        raise Violation(f"{client.name} cannot commit: {error}") from error
    return client.keep(client.stored(after), crash)


def _commit(play: Play, client: Client, step: Step) -> bool:
    """Of what has been proposed, all or what has happened to arrive."""
    if step.pick % 2:
        client.fetch_proposals()
    return commit(play, client, CommitOptions(framing=_framing(play)), step.crash)


def _commit_these(play: Play, client: Client, step: Step, *proposals: Proposal | None) -> bool:
    given = tuple(proposal for proposal in proposals if proposal is not None)
    if len(given) < len(proposals):
        return False
    path = PathChoice.WHEN_REQUIRED if step.pick % 2 else PathChoice.ALWAYS
    return commit(play, client, CommitOptions(given, framing=_framing(play), path=path), step.crash)


def _commit_add(play: Play, client: Client, step: Step) -> bool:
    return _commit_these(play, client, step, _add(play, client, step))


def _commit_remove(play: Play, client: Client, step: Step) -> bool:
    return _commit_these(play, client, step, _remove(client, step))


def _commit_swap(play: Play, client: Client, step: Step) -> bool:
    return _commit_these(play, client, step, _add(play, client, step), _remove(client, step))


def _commit_psk(play: Play, client: Client, step: Step) -> bool:
    """The resumption PSK of this epoch, which members have and newcomers have not: so nothing else is committed."""
    group = client.active
    if group is None:
        return False
    psk_id = ResumptionPskId(ResumptionPskUsage.APPLICATION, group.group_id, group.epoch, play.random(32))
    options = CommitOptions((PreSharedKey(psk_id),), references=(), framing=_framing(play))
    return commit(play, client, options, step.crash)


def _commit_without_path(play: Play, client: Client, step: Step) -> bool:
    added = _add(play, client, step)
    given = () if added is None else (added,)
    options = CommitOptions(given, path=PathChoice.WHEN_REQUIRED, framing=_framing(play))
    return commit(play, client, options, step.crash)


def _commit_new_signature_key(play: Play, client: Client, step: Step) -> bool:
    key = signer(f"{client.name} {play.random(8).hex()}")
    return commit(play, client, CommitOptions(signature_key=key, framing=_framing(play)), step.crash)


def _drop_commit(play: Play, client: Client, step: Step) -> bool:
    """Give a commit up. One that the hub has accepted must not be: nobody can read the group without it."""
    group = client.active
    if group is None or group.pending is None or play.hub.commits.get(group.epoch) == group.pending.message:
        return False
    return client.keep(client.stored(group.drop_pending()), step.crash)


def submit(play: Play, client: Client) -> bool:
    """Send the pending commit to the hub, which takes it or not; the client will see when it follows."""
    group = client.active
    if group is None or group.pending is None:
        return False
    play.wire.record(group.snapshot.epoch, group.pending.message)
    accepted = play.hub.submit(group.pending.message)
    play.counts["commits accepted" if accepted else "races lost"] += 1
    return accepted


def _submit(play: Play, client: Client, step: Step) -> bool:
    return submit(play, client)


def _follow(play: Play, client: Client, step: Step) -> bool:
    return client.follow(step.crash)


# ── joining ──────────────────────────────────────────────────────────────────────────────────────────────────────


def _join_from_outside(play: Play, client: Client, step: Step) -> bool:
    infos = [each.active for each in play.clients if each.active is not None and each.active.epoch == play.hub.epoch]
    if not infos:
        return False
    group = infos[step.pick % len(infos)]
    resync = next((member.leaf_index for member in group.members() if _name(member.credential) == client.name), None)
    client.join_from_outside(group.group_info(), group.epoch, resync, step.crash)
    return True


def _restart(play: Play, client: Client, step: Step) -> bool:
    client.restart()
    return True


# ── choosing ─────────────────────────────────────────────────────────────────────────────────────────────────────


def _add(play: Play, client: Client, step: Step) -> Add | None:
    """One who is not in the tree."""
    group = client.active
    if group is None:
        return None
    outside = [each for each in play.clients if each.name not in _names(group)]
    return Add(outside[step.pick % len(outside)].publish()) if outside else None


def _remove(client: Client, step: Step) -> Remove | None:
    """Any other leaf; the client need not have joined yet."""
    group = client.active
    others = [] if group is None else [each for each in group.members() if each.leaf_index != group.own_leaf_index]
    return Remove(others[step.pick % len(others)].leaf_index) if others else None


def _names(group: Group) -> frozenset[str]:
    return frozenset(_name(member.credential) for member in group.members())


def _name(credential: object) -> str:
    return getattr(credential, "identity", b"").decode()


def _framing(play: Play) -> Framing:
    return Framing(WireFormat.PUBLIC_MESSAGE if play.schedule.public else WireFormat.PRIVATE_MESSAGE)


MOVES: Final[dict[Action, Move]] = {
    Action.SAY: _say,
    Action.HEAR: _hear,
    Action.HEAR_AND_KEEP: _hear_and_keep,
    Action.LOSE: _lose,
    Action.PROPOSE_ADD: _propose_add,
    Action.PROPOSE_UPDATE: _propose_update,
    Action.PROPOSE_REMOVE: _propose_remove,
    Action.PROPOSE_PSK: _propose_psk,
    Action.PROPOSE_FROM_OUTSIDE: _propose_from_outside,
    Action.COMMIT: _commit,
    Action.COMMIT_ADD: _commit_add,
    Action.COMMIT_REMOVE: _commit_remove,
    Action.COMMIT_SWAP: _commit_swap,
    Action.COMMIT_PSK: _commit_psk,
    Action.COMMIT_WITHOUT_PATH: _commit_without_path,
    Action.COMMIT_NEW_SIGNATURE_KEY: _commit_new_signature_key,
    Action.DROP_COMMIT: _drop_commit,
    Action.SUBMIT: _submit,
    Action.FOLLOW: _follow,
    Action.JOIN_FROM_OUTSIDE: _join_from_outside,
    Action.RESTART: _restart,
}
