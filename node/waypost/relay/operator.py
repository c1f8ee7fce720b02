"""What the operator of a running node can see and do (`protocol.operator`): a handler for each request."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, Final, TypeVar

import trio
from msgspec.structs import asdict

from waypost import __version__
from waypost.clock import SECOND_MS
from waypost.crypto.fingerprint import node_fingerprint
from waypost.crypto.keys import key_text, parse_key
from waypost.errors import Code, LocalError, Refused
from waypost.ids import Provider, id_text, parse_address, parse_id, parse_provider
from waypost.limits import ADMIN_LISTED_MAX, TEXT_MAX_CHARS
from waypost.protocol.custody.fate import Event, State
from waypost.protocol.directory.invite import parse_invite
from waypost.protocol.directory.reach import ReachMode, reach_of
from waypost.protocol.directory.trust import PeerPolicy, Trust
from waypost.protocol.operator import (
    ActOnQueue,
    AddUser,
    Backup,
    Copied,
    GetStatus,
    InviteMade,
    Leave,
    ListPeers,
    ListQueue,
    ListUsers,
    MessageTrace,
    NodeStatus,
    OperatorRequest,
    PeerActed,
    PeerAction,
    PeerKnown,
    PeerList,
    PeerNow,
    PeerState,
    ProviderLeft,
    QueueActed,
    QueueAction,
    QueueList,
    RemoveUser,
    SetPeer,
    SetReach,
    Stop,
    Stopped,
    StoreNow,
    Totals,
    TraceStep,
    UserList,
    UserNow,
    UserRemoved,
    Why,
)
from waypost.relay.accounts import LocalUser
from waypost.relay.node import Relay
from waypost.relay.peer import Peer

T = TypeVar("T")
A = TypeVar("A")

_FINGERPRINT_DIGITS: Final = 60


async def answer(relay: Relay, request: OperatorRequest[A]) -> A:
    """Do what is asked. Raises WaypostError."""
    found: A = await HANDLERS[type(request)](relay, request)
    return found


# ── the node ────────────────────────────────────────────────────────────────────────────────────────────────────────


async def _status(relay: Relay, _: GetStatus) -> NodeStatus:
    settings, intake, usage = relay.settings, relay.intake, relay.usages.of
    peers = relay.peers.all()
    mailboxes = [peer.mailbox for peer in peers if peer.mailbox]
    mailboxes += [mailbox for user in relay.accounts for mailbox in user.mailboxes]
    stored = [usage(mailbox) for mailbox in mailboxes]
    listed, left_out = _bounded(
        sorted(peers, key=lambda peer: (peer.link is None, -_waiting(relay, peer), peer.provider))
    )
    reach = ", ".join(settings.reach.providers) or settings.reach.mode.value
    return NodeStatus(
        provider=settings.provider,
        version=__version__,
        key=key_text(relay.key.public),
        fingerprint=await _fingerprint(relay.key.public, settings.provider),
        started_ms=relay.started_ms,
        uptime_s=(relay.platform.clock.wall_ms() - relay.started_ms) / SECOND_MS,
        policy=settings.mode,
        reach=reach,
        endpoints=tuple(f"{_host(endpoint.host)}:{endpoint.port}" for endpoint in relay.endpoints),
        users=len(relay.accounts),
        devices=sum(len(user.devices) for user in relay.accounts),
        devices_connected=len(relay.devices),
        epoch=relay.store.epoch,
        peers=tuple(_peer_now(relay, peer) for peer in listed),
        left_out=left_out,
        store=StoreNow(sum(each.items for each in stored), sum(each.bytes for each in stored)),
        totals=Totals(intake.accepted, intake.duplicates, intake.refused),
    )


def _peer_now(relay: Relay, peer: Peer) -> PeerNow:
    waits = relay.couriers.waiting(peer.provider)
    link, trouble = peer.link, peer.trouble
    usage = relay.usages.of(peer.mailbox) if peer.mailbox else None
    wanted = link is None and waits is not None and (peer.eager or bool(usage and usage.items))
    return PeerNow(
        provider=peer.provider,
        state=_state(peer, wanted=wanted),
        linked=link is not None,
        linked_s=relay.platform.clock.instant() - link.since if link else 0.0,
        dialed=bool(link and link.peer.dialed),
        taken=link.taken if link else 0,
        given=link.given if link else 0,
        waiting=usage.items if usage else 0,
        waiting_bytes=usage.bytes if usage else 0,
        next_try_ms=waits[1] if wanted and waits and not peer.blocked and not peer.gone else 0,
        code=trouble.code.number if trouble else 0,
        error=trouble.text[:TEXT_MAX_CHARS] if trouble else "",
        failed_ms=trouble.at_ms if trouble else 0,
    )


def _state(peer: Peer, *, wanted: bool) -> PeerState:
    if peer.link is not None:
        return PeerState.LINKED
    if peer.blocked:
        return PeerState.BLOCKED
    if peer.gone:
        return PeerState.CLOSED
    if peer.trouble is not None:
        return PeerState.FAILING
    return PeerState.CONNECTING if wanted else PeerState.IDLE


async def _leave(relay: Relay, request: Leave) -> ProviderLeft:
    told = sum(peer.link is not None for peer in relay.peers.all())
    moved_to = request.moved_to
    left_behind = await relay.leave(parse_provider(moved_to) if moved_to else "")
    return ProviderLeft(relay.settings.provider, told, moved_to, left_behind)


async def _backup(relay: Relay, request: Backup) -> Copied:
    target = Path(request.target)
    if not target.is_absolute():
        raise Refused(Code.BAD_REQUEST, "the file must be named by its whole path")
    await relay.store.backup(target)
    return Copied(str(target))


async def _stop(relay: Relay, _: Stop) -> Stopped:
    await relay.stop()
    return Stopped(relay.settings.provider)


async def _why(relay: Relay, request: Why) -> MessageTrace:
    id_ = parse_id(request.id)
    found = await relay.tracks.find(id_)
    rows = tuple(TraceStep(row.at_ms, Event(row.event), row.party, row.code) for row in found.rows)
    state = State(found.state)
    return MessageTrace(id_text(id_), relay.settings.provider, state, found.code, found.next_try_ms, rows)


# ── users ───────────────────────────────────────────────────────────────────────────────────────────────────────────


async def _add_user(relay: Relay, request: AddUser) -> InviteMade:
    user, again = _own_user(relay, request.user), request.again
    if not again and relay.accounts.get(user):
        raise Refused(
            Code.USER_EXISTS, f"{user}; if the invite was lost before joining: waypost user add --again {user}"
        )
    if again and not relay.accounts.get(user):
        raise Refused(Code.NOT_FOUND, f"{user}@{relay.settings.provider}")
    text = await relay.add_user(user, again=again)
    invite = parse_invite(text)
    relay.platform.log.info("user invited", address=invite.address, again=again)
    return InviteMade(invite.address, text, invite.expires_ms)


async def _users(relay: Relay, _: ListUsers) -> UserList:
    listed, left_out = _bounded(sorted(relay.accounts, key=lambda user: user.address))
    return UserList(tuple(_user_now(relay, user) for user in listed), left_out)


def _user_now(relay: Relay, user: LocalUser) -> UserNow:
    waiting = [relay.usages.of(mailbox).items for mailbox in user.mailboxes]
    return UserNow(
        address=str(user.address),
        devices=len(user.devices),
        online=len(user.links),
        waiting=max(waiting, default=0),
        created_ms=user.account.created_ms,
        reach=user.account.reach.mode,
        providers=user.account.reach.providers,
        effective=user.account.reach.over(relay.settings.reach).mode,
    )


async def _remove_user(relay: Relay, request: RemoveUser) -> UserRemoved:
    user = _local_user(relay, request.user)
    bounced = sum(relay.usages.of(mailbox).items for mailbox in user.mailboxes)
    await relay.remove_user(user.account.user)
    relay.platform.log.info("user removed", address=str(user.address))
    return UserRemoved(str(user.address), bounced)


async def _set_reach(relay: Relay, request: SetReach) -> UserNow:
    user = _local_user(relay, request.user)
    providers = tuple(parse_provider(each) for each in request.providers)
    if (request.reach is ReachMode.SOME) is not bool(providers):
        raise Refused(Code.BAD_REQUEST, "name all, none, default, or providers")
    await relay.accounts.change_reach(user, reach_of(request.reach, providers))
    return _user_now(relay, user)


def _own_user(relay: Relay, name: str) -> str:
    """The user part of what the operator typed, with or without the provider."""
    if "@" not in name:
        return name
    address = parse_address(name)
    if address.provider != relay.settings.provider:
        raise LocalError(Code.BAD_ADDRESS, f"{name} is not of {relay.settings.provider}")
    return address.user


def _local_user(relay: Relay, name: str) -> LocalUser:
    user = relay.accounts.get(_own_user(relay, name))
    if user is None:
        raise Refused(Code.NOT_FOUND, f"{name} at {relay.settings.provider}")
    return user


# ── peers ───────────────────────────────────────────────────────────────────────────────────────────────────────────


async def _peers(relay: Relay, _: ListPeers) -> PeerList:
    listed, left_out = _bounded(sorted(relay.peers.all(), key=lambda peer: (not peer.row.key, peer.provider)))
    return PeerList(tuple([await _peer_known(relay, peer) for peer in listed]), left_out)


async def _peer_known(relay: Relay, peer: Peer) -> PeerKnown:
    row = peer.row
    return PeerKnown(
        **asdict(_peer_now(relay, peer)),
        key=key_text(row.key) if row.key else "",
        fingerprint=await _fingerprint(row.key, peer.provider) if row.key else "",
        trust=Trust(row.trust),
        policy=PeerPolicy(row.policy),
        first_ms=row.first_ms,
        heard_ms=row.heard_ms,
        moved_to=peer.record.moved_to if peer.record else "",
        endpoints=tuple(f"{_host(endpoint.host)}:{endpoint.port}" for endpoint in peer.addresses()),
    )


async def _set_peer(relay: Relay, request: SetPeer) -> PeerActed:
    peers, provider = relay.peers, parse_provider(request.provider)
    if provider == relay.settings.provider:
        raise Refused(Code.BAD_REQUEST, f"{provider} is this node")
    fingerprint = ""
    match request.action:
        case PeerAction.ALLOW:
            peers.set_policy(provider, PeerPolicy.ALLOW)
        case PeerAction.BLOCK:
            peers.set_policy(provider, PeerPolicy.BLOCK)
        case PeerAction.CLEAR:
            if peers.get(provider) is None:
                raise Refused(Code.PROVIDER_UNKNOWN, provider)
            peers.set_policy(provider, PeerPolicy.NONE)
        case PeerAction.FORGET:
            await peers.forget(provider)
        case PeerAction.PIN:
            pinned = await _key_meant(relay, provider, request.key)
            known = peers.get(provider)
            peers.set_policy(provider, known.row.policy if known else PeerPolicy.NONE, pinned)
            fingerprint = await _fingerprint(pinned, provider)
    relay.platform.log.info("operator", action=request.action.value, peer=provider)
    return PeerActed(provider, request.action, relay.settings.mode, fingerprint)


async def _key_meant(relay: Relay, provider: Provider, text: str) -> bytes:
    """The key for a key or a fingerprint. A fingerprint does not contain the key: it must be one that was met."""
    compact = "".join(text.split())
    if not compact.isdigit():
        try:
            return parse_key(compact)
        except LocalError:
            raise Refused(Code.BAD_REQUEST, "write a key of 52 characters, or all 60 digits of a fingerprint") from None
    if len(compact) != _FINGERPRINT_DIGITS:
        raise Refused(Code.BAD_REQUEST, f"a fingerprint has {_FINGERPRINT_DIGITS} digits, these are {len(compact)}")
    for key in _keys_met(relay, provider):
        if (await _fingerprint(key, provider)).replace(" ", "") == compact:
            return key
    raise Refused(
        Code.PROVIDER_UNKNOWN,
        f"no key with that fingerprint was met under the name {provider}; let the peer try to link, or pin the key",
    )


def _keys_met(relay: Relay, provider: Provider) -> Iterable[bytes]:
    peer = relay.peers.get(provider)
    met = [relay.peers.refused_key(provider)]
    if peer is not None:
        met += [peer.row.key, peer.announced_key or b"", peer.configured_key or b""]
        met += [peer.record.key] if peer.record else []
    return dict.fromkeys(key for key in met if key)


# ── queues ──────────────────────────────────────────────────────────────────────────────────────────────────────────


async def _queues(relay: Relay, _: ListQueue) -> QueueList:
    waiting = [peer for peer in relay.peers.all() if _waiting(relay, peer)]
    listed, left_out = _bounded(sorted(waiting, key=lambda peer: -_waiting(relay, peer)))
    return QueueList(tuple(_peer_now(relay, peer) for peer in listed), left_out)


async def _act_on_queue(relay: Relay, request: ActOnQueue) -> QueueActed:
    provider = parse_provider(request.provider)
    peer = relay.peers.get(provider)
    if peer is None:
        raise Refused(Code.PROVIDER_UNKNOWN, provider)
    count = _waiting(relay, peer)
    match request.action:
        case QueueAction.RETRY:
            relay.peers.retry(peer)
            if peer.mailbox:
                relay.upkeep.requeue(peer.mailbox)
        case QueueAction.DROP:
            count = await relay.upkeep.give_up(peer.mailbox, Code.DROPPED) if peer.mailbox else 0
    relay.platform.log.info("operator", action=f"queue {request.action.value}", peer=provider, count=count)
    return QueueActed(provider, request.action, count, peer.link is not None)


def _waiting(relay: Relay, peer: Peer) -> int:
    return relay.usages.of(peer.mailbox).items if peer.mailbox else 0


# ── small things ────────────────────────────────────────────────────────────────────────────────────────────────────


def _bounded(entries: Sequence[T]) -> tuple[Sequence[T], int]:
    """What fits a frame, and how many more there are."""
    return entries[:ADMIN_LISTED_MAX], max(0, len(entries) - ADMIN_LISTED_MAX)


def _host(host: str) -> str:
    return f"[{host}]" if ":" in host else host


async def _fingerprint(key: bytes, provider: str) -> str:
    # Some 5 ms each: in a thread, and once.
    return await trio.to_thread.run_sync(_cached_fingerprint, key, provider)


@lru_cache(maxsize=ADMIN_LISTED_MAX)
def _cached_fingerprint(key: bytes, provider: str) -> str:
    return node_fingerprint(key, provider)


#: Of every request. The answer of each is the one that the request names.
HANDLERS: Final[dict[type[OperatorRequest[Any]], Callable[[Relay, Any], Awaitable[Any]]]] = {
    GetStatus: _status,
    AddUser: _add_user,
    ListUsers: _users,
    RemoveUser: _remove_user,
    SetReach: _set_reach,
    ListPeers: _peers,
    SetPeer: _set_peer,
    ListQueue: _queues,
    ActOnQueue: _act_on_queue,
    Why: _why,
    Leave: _leave,
    Backup: _backup,
    Stop: _stop,
}
