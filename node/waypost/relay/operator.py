"""What the operator of a running node can see and do (`protocol.admin`). Answers are JSON; times are wall-clock ms."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, Final, TypeVar, assert_never

import trio

from waypost import __version__
from waypost.clock import SECOND_MS
from waypost.crypto.fingerprint import node_fingerprint
from waypost.crypto.keys import key_text, parse_key
from waypost.errors import Code, LocalError, Refused, WaypostError
from waypost.ids import Provider, id_text, parse_address, parse_id, parse_provider
from waypost.limits import ADMIN_LISTED_MAX, TEXT_MAX_CHARS
from waypost.protocol.directory.invite import parse_invite
from waypost.protocol.directory.reach import reach_of
from waypost.protocol.directory.trust import PeerPolicy
from waypost.protocol.operator import (
    ActOnQueue,
    AddUser,
    Backup,
    GetStatus,
    Leave,
    ListPeers,
    ListQueue,
    ListUsers,
    RemoveUser,
    Request,
    Response,
    SetPeer,
    SetReach,
    Stop,
    Why,
)
from waypost.relay.accounts import LocalUser
from waypost.relay.node import Relay
from waypost.relay.peers import Peer

T = TypeVar("T")

_REACHES: Final = ("", "all", "none", "some")
_FINGERPRINT_DIGITS: Final = 60


async def answer(relay: Relay, request: Request) -> Response:
    """Do what is asked. A refusal is an answer too: code, and what to tell the person."""
    try:
        found = await _do(relay, request)
    except WaypostError as error:
        return Response(error.code.number, error.detail[:TEXT_MAX_CHARS])
    return Response(0, "", json.dumps(found, ensure_ascii=False))


async def _do(relay: Relay, request: Request) -> dict[str, Any]:  # noqa: C901, PLR0912 - a table
    match request:
        case GetStatus():
            return await _status(relay)
        case AddUser(user, again):
            return await _add_user(relay, user, again=again)
        case ListUsers():
            return _users(relay)
        case RemoveUser(user):
            return await _remove_user(relay, user)
        case SetReach(user, reach, providers):
            return await _set_reach(relay, user, reach, providers)
        case ListPeers():
            return await _peers(relay)
        case SetPeer(provider, action, key):
            return await _set_peer(relay, parse_provider(provider), action, key)
        case ListQueue():
            return _queues(relay)
        case ActOnQueue(provider, action):
            return await _act_on_queue(relay, parse_provider(provider), action)
        case Why(text):
            return await _why(relay, text)
        case Leave(moved_to):
            return await _leave(relay, moved_to)
        case Backup(target):
            return await _backup(relay, Path(target))
        case Stop():
            await relay.stop()
            return {"provider": relay.settings.provider}
        case _:
            assert_never(request)


# ── the node ────────────────────────────────────────────────────────────────────────────────────────────────────────


async def _status(relay: Relay) -> dict[str, Any]:
    settings, intake, usage = relay.settings, relay.intake, relay.store.usage
    peers = relay.peers.all()
    mailboxes = [peer.mailbox for peer in peers if peer.mailbox]
    mailboxes += [mailbox for user in relay.accounts for mailbox in user.mailboxes]
    stored = [usage(mailbox) for mailbox in mailboxes]
    listed, left_out = _bounded(
        sorted(peers, key=lambda peer: (peer.link is None, -_waiting(relay, peer), peer.provider))
    )
    reach = ", ".join(settings.reach.providers) or settings.reach.mode
    return {
        "provider": settings.provider,
        "version": __version__,
        "key": key_text(relay.key.public),
        "fingerprint": await _fingerprint(relay.key.public, settings.provider),
        "started_ms": relay.started_ms,
        "uptime_s": (relay.platform.clock.wall_ms() - relay.started_ms) / SECOND_MS,
        "policy": settings.mode.value,
        "reach": reach,
        "endpoints": [f"{_host(endpoint.host)}:{endpoint.port}" for endpoint in relay.endpoints],
        "users": len(relay.accounts),
        "devices": sum(len(user.devices) for user in relay.accounts),
        "devices_connected": len(relay.devices),
        "epoch": relay.store.epoch,
        "peers": [_peer_now(relay, peer) for peer in listed],
        "left_out": left_out,
        "store": {"envelopes": sum(each.items for each in stored), "bytes": sum(each.bytes for each in stored)},
        "totals": {"accepted": intake.accepted, "duplicates": intake.duplicates, "refused": intake.refused},
    }


def _peer_now(relay: Relay, peer: Peer) -> dict[str, Any]:
    waits = relay.couriers.waiting(peer.provider)
    link, trouble = peer.link, peer.trouble
    usage = relay.store.usage(peer.mailbox) if peer.mailbox else None
    wanted = link is None and waits is not None and (peer.eager or bool(usage and usage.items))
    return {
        "provider": peer.provider,
        "state": _state(peer, wanted=wanted),
        "linked": link is not None,
        "linked_s": relay.platform.clock.instant() - link.since if link else 0.0,
        "dialed": bool(link and link.peer.dialed),
        "taken": link.taken if link else 0,
        "given": link.given if link else 0,
        "waiting": usage.items if usage else 0,
        "waiting_bytes": usage.bytes if usage else 0,
        "next_try_ms": waits[1] if wanted and waits and not peer.blocked and not peer.gone else 0,
        "code": trouble.code.number if trouble else 0,
        "error": trouble.text if trouble else "",
        "failed_ms": trouble.at_ms if trouble else 0,
    }


def _state(peer: Peer, *, wanted: bool) -> str:
    if peer.link is not None:
        return "linked"
    if peer.blocked:
        return "blocked"
    if peer.gone:
        return "closed"
    if peer.trouble is not None:
        return "failing"
    return "connecting" if wanted else "idle"


async def _leave(relay: Relay, moved_to: str) -> dict[str, Any]:
    told = sum(peer.link is not None for peer in relay.peers.all())
    left_behind = await relay.leave(parse_provider(moved_to) if moved_to else "")
    return {"provider": relay.settings.provider, "told": told, "moved_to": moved_to, "left_behind": left_behind}


async def _backup(relay: Relay, target: Path) -> dict[str, Any]:
    if not target.is_absolute():
        raise Refused(Code.BAD_REQUEST, "the file must be named by its whole path")
    await relay.store.backup(target)
    return {"file": str(target)}


async def _why(relay: Relay, text: str) -> dict[str, Any]:
    id_ = parse_id(text)
    found = await relay.tracks.find(id_)
    return {
        "id": id_text(id_),
        "node": relay.settings.provider,
        "state": found.state,
        "code": found.code,
        "next_try_ms": found.next_try_ms,
        "rows": [{"at_ms": row.at_ms, "event": row.event, "party": row.party, "code": row.code} for row in found.rows],
    }


# ── users ───────────────────────────────────────────────────────────────────────────────────────────────────────────


async def _add_user(relay: Relay, name: str, *, again: bool) -> dict[str, Any]:
    user = _own_user(relay, name)
    if not again and relay.accounts.get(user):
        raise Refused(
            Code.USER_EXISTS, f"{user}; if the invite was lost before joining: waypost user add --again {user}"
        )
    if again and not relay.accounts.get(user):
        raise Refused(Code.NOT_FOUND, f"{user}@{relay.settings.provider}")
    text = await relay.add_user(user, again=again)
    invite = parse_invite(text)
    relay.platform.log.info("user invited", address=invite.address, again=again)
    return {"address": invite.address, "invite": text, "expires_ms": invite.expires_ms}


def _users(relay: Relay) -> dict[str, Any]:
    listed, left_out = _bounded(sorted(relay.accounts, key=lambda user: user.address))
    return {"users": [_user_now(relay, user) for user in listed], "left_out": left_out}


def _user_now(relay: Relay, user: LocalUser) -> dict[str, Any]:
    waiting = [relay.store.usage(mailbox).items for mailbox in user.mailboxes]
    return {
        "address": str(user.address),
        "devices": len(user.devices),
        "online": len(user.links),
        "waiting": max(waiting, default=0),
        "created_ms": user.account.created_ms,
        "reach": user.account.reach.mode,
        "providers": list(user.account.reach.providers),
        "effective": user.account.reach.over(relay.settings.reach).mode,
    }


async def _remove_user(relay: Relay, name: str) -> dict[str, Any]:
    user = _local_user(relay, name)
    bounced = sum(relay.store.usage(mailbox).items for mailbox in user.mailboxes)
    await relay.remove_user(user.account.user)
    relay.platform.log.info("user removed", address=str(user.address))
    return {"address": str(user.address), "bounced": bounced}


async def _set_reach(relay: Relay, name: str, reach: str, names: Sequence[str]) -> dict[str, Any]:
    user = _local_user(relay, name)
    providers = tuple(parse_provider(each) for each in names)
    if reach not in _REACHES or (reach == "some") is not bool(providers):
        raise Refused(Code.BAD_REQUEST, "name all, none, default, or providers")
    await relay.accounts.change_reach(user, reach_of(reach, providers))
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


async def _peers(relay: Relay) -> dict[str, Any]:
    listed, left_out = _bounded(sorted(relay.peers.all(), key=lambda peer: (not peer.row.key, peer.provider)))
    found = []
    for peer in listed:
        row = peer.row
        found.append(
            {
                **_peer_now(relay, peer),
                "key": key_text(row.key) if row.key else "",
                "fingerprint": await _fingerprint(row.key, peer.provider) if row.key else "",
                "trust": row.trust,
                "policy": row.policy,
                "first_ms": row.first_ms,
                "heard_ms": row.heard_ms,
                "moved_to": peer.record.moved_to if peer.record else "",
                "endpoints": [f"{_host(endpoint.host)}:{endpoint.port}" for endpoint in peer.addresses()],
            }
        )
    return {"peers": found, "left_out": left_out}


async def _set_peer(relay: Relay, provider: Provider, action: str, key: str) -> dict[str, Any]:
    peers = relay.peers
    if provider == relay.settings.provider:
        raise Refused(Code.BAD_REQUEST, f"{provider} is this node")
    match action:
        case "allow":
            peers.set_policy(provider, PeerPolicy.ALLOW)
            text = f"{provider} is allowed."
        case "block":
            peers.set_policy(provider, PeerPolicy.BLOCK)
            text = f"{provider} is blocked."
        case "clear":
            if peers.get(provider) is None:
                raise Refused(Code.PROVIDER_UNKNOWN, provider)
            peers.set_policy(provider, PeerPolicy.NONE)
            text = f"{provider} is judged by the policy ({relay.settings.mode.value}) from now on."
        case "forget":
            await peers.forget(provider)
            text = f"{provider} is forgotten."
        case "pin":
            pinned = await _key_meant(relay, provider, key)
            known = peers.get(provider)
            peers.set_policy(provider, known.row.policy if known else PeerPolicy.NONE, pinned)
            text = f"{provider} is bound to the key with fingerprint {await _fingerprint(pinned, provider)}."
        case _:
            raise Refused(Code.BAD_REQUEST, f"no such action: {action}")
    relay.platform.log.info("operator", action=action, peer=provider)
    return {"provider": provider, "action": action, "text": text}


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


def _queues(relay: Relay) -> dict[str, Any]:
    waiting = [peer for peer in relay.peers.all() if _waiting(relay, peer)]
    listed, left_out = _bounded(sorted(waiting, key=lambda peer: -_waiting(relay, peer)))
    return {"queues": [_peer_now(relay, peer) for peer in listed], "left_out": left_out}


async def _act_on_queue(relay: Relay, provider: Provider, action: str) -> dict[str, Any]:
    peer = relay.peers.get(provider)
    if peer is None:
        raise Refused(Code.PROVIDER_UNKNOWN, provider)
    count = _waiting(relay, peer)
    match action:
        case "retry":
            relay.peers.retry(peer)
            if peer.mailbox:
                relay.upkeep.requeue(peer.mailbox)
            text = f"{provider} is linked." if peer.link else f"{provider} is tried now; {count} wait for it."
        case "drop":
            count = await relay.upkeep.give_up(peer.mailbox, Code.DROPPED) if peer.mailbox else 0
            text = f"{count} messages for {provider} are given up; their senders are told."
        case _:
            raise Refused(Code.BAD_REQUEST, f"no such action: {action}")
    relay.platform.log.info("operator", action=f"queue {action}", peer=provider, count=count)
    return {"provider": provider, "action": action, "count": count, "text": text}


def _waiting(relay: Relay, peer: Peer) -> int:
    return relay.store.usage(peer.mailbox).items if peer.mailbox else 0


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
