"""Where an envelope goes: a decision as a value, from the envelope and a view of what the node knows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from waypost.clock import WallMs
from waypost.errors import Code, Kind
from waypost.ids import Address, Provider
from waypost.protocol.custody.envelope import Envelope, time_fault


@dataclass(frozen=True, slots=True)
class Route:
    """Take custody, for these mailboxes. `missing`: recipients that it cannot reach, each with the reason."""

    mailboxes: tuple[int, ...]
    missing: tuple[tuple[str, Code], ...] = ()


@dataclass(frozen=True, slots=True)
class Refuse:
    """Do not take custody."""

    code: Code


Decision = Route | Refuse


@dataclass(frozen=True, slots=True)
class FromDevice:
    """The envelope came from a local device, which may send as its own account only."""

    address: Address


@dataclass(frozen=True, slots=True)
class FromPeer:
    """The envelope came from a peer node, which may send for its own users only."""

    provider: Provider


Origin = FromDevice | FromPeer


class View(Protocol):
    """What the router asks of the node; answered from memory."""

    @property
    def provider(self) -> Provider: ...

    def user_mailboxes(self, user: str, provider: Provider) -> tuple[int, ...] | Code:
        """Of the user's devices, if senders of that provider may reach them; else why not."""

    def peer_mailbox(self, provider: str) -> int | Code:
        """Of the outbox towards that provider; else why there is none."""


def route(envelope: Envelope, origin: Origin, view: View, now_ms: WallMs) -> Decision:
    """Check the sender, the time and the recipients, in this order, and say where the envelope goes."""
    sender = Address.of(envelope.sender)
    match origin:
        case FromDevice(address):
            genuine = sender == address
        case FromPeer(provider):
            genuine = sender.provider == provider
    if not genuine:
        return Refuse(Code.FORGED_SENDER)
    if fault := time_fault(envelope, now_ms):
        return Refuse(fault)
    if envelope.provider == view.provider:
        return _route_here(envelope, sender.provider, view)
    if isinstance(origin, FromPeer):
        return Refuse(Code.NOT_OURS)
    mailbox = view.peer_mailbox(envelope.provider)
    return Refuse(mailbox) if isinstance(mailbox, Code) else Route((mailbox,))


def _route_here(envelope: Envelope, sender_provider: Provider, view: View) -> Decision:
    if len(envelope.users) == 1:
        only = view.user_mailboxes(envelope.users[0], sender_provider)
        return Refuse(only) if isinstance(only, Code) else Route(only)
    mailboxes: dict[int, None] = {}
    missing: list[tuple[str, Code]] = []
    for user in envelope.users:
        found = view.user_mailboxes(user, sender_provider)
        if isinstance(found, Code):
            missing.append((user, found))
        else:
            mailboxes.update(dict.fromkeys(found))
    # A reason that passes holds up the whole envelope: bouncing that recipient, or sending the others theirs twice, is
    # worse.
    later = next((code for _, code in missing if code.kind is Kind.LATER), None)
    if later is not None:
        return Refuse(later)
    return Route(tuple(mailboxes), tuple(missing)) if mailboxes else Refuse(missing[0][1])
