"""What a node answers, in sentences for people: each a pure function of an answer or of its parts.

All of them stand here, and none says how it is shown; a page can use them as the command line does.
"""

from __future__ import annotations

from typing import Final

from waypost.cli.shapes import ProfileStep, ProfileTrace
from waypost.cli.words import reason, remedy, until
from waypost.protocol import operator as node
from waypost.protocol.custody.fate import Event, State
from waypost.protocol.directory.reach import ReachMode
from waypost.protocol.directory.trust import Trust

#: How a peer's key is known.
TRUST: Final = {
    Trust.NONE: "only heard of",
    Trust.FIRST_USE: "first use",
    Trust.PINNED: "pinned by you",
    Trust.DNS: "named in its DNS",
    Trust.SUCCESSION: "handed over by its old key",
}

# ── messages ────────────────────────────────────────────────────────────────────────────────────────────────────────


def step(row: node.TraceStep | ProfileStep) -> str:
    """One line of a trace."""
    party, why = row.party, f": {reason(row.code)}" if row.code else ""
    if isinstance(row, ProfileStep) or not party:  # a profile knows the steps, not the parties
        return row.event.value + why
    match row.event:
        case Event.ACCEPTED:
            return f"accepted from {party}: in this node's custody"
        case Event.QUEUED:
            return f"put in the queue for {party}"
        case Event.HELD:
            return f"handed to {party}, which has confirmed that it holds it"
        case Event.DELIVERED:
            return f"delivered to {party}, whose device has confirmed it"
        case Event.BOUNCED:
            return f"refused for good by {party}: {reason(row.code)}"
        case Event.EXPIRED:
            return f"given up: {reason(row.code)}"
        case Event.DEFERRED:
            return f"not taken for now by {party}: {reason(row.code)}; it stays here and is tried again"
        case Event.OTHER:
            return f"{row.event.value} {party}{why}"


def standing(found: node.MessageTrace | ProfileTrace) -> str:
    """Where a message is now."""
    match found.state:
        case State.ACCEPTED | State.QUEUED:
            queued = [row.party for row in found.rows if row.event is Event.QUEUED]
            if queued and "@" in queued[-1]:
                return f"Waiting here until an app of {queued[-1]} connects."
            return "Accepted: it is on its way to its next hop."
        case State.HELD:
            return "Held: the recipient's node has it, and delivers it when the recipient's app connects."
        case State.DELIVERED:
            return "Delivered."
        case State.BOUNCED:
            return f"Bounced: {reason(found.code)}. {remedy(found.code)}"
        case State.EXPIRED:
            return f"Expired: {remedy(found.code) or 'send it again if it still matters.'}"
        case State.WAITING | State.DEFERRED:
            due = f"; next try {until(found.next_try_ms)}" if found.next_try_ms else ""
            return f"Waiting: {reason(found.code) if found.code else 'for its next hop'}{due}."
        case State.OTHER:
            return f"{found.state.value}."


def news(state: State, recipient: str, code: int, next_try_ms: int) -> str:
    """What the sender's app has learnt of a message."""
    match state:
        case State.QUEUED:
            return f"written down, on its way to {recipient}"
        case State.WAITING:
            due = f"; next try {until(next_try_ms)}" if next_try_ms else ""
            return f"waiting{': ' + reason(code) if code else ''}{due}"
        case State.ACCEPTED:
            return "accepted by your provider's node"
        case State.HELD:
            return "held by the recipient's node"
        case State.DELIVERED:
            return f"delivered to {recipient}"
        case _:
            return f"{state.value}: {reason(code)}. {remedy(code)}"


# ── users ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def who_may_write(user: node.UserNow) -> str:
    """To this user, from other providers."""
    match user.reach:
        case ReachMode.SOME:
            return ", ".join(user.providers)
        case ReachMode.DEFAULT:
            return f"{user.effective.value} (the provider's default)"
        case _:
            return user.reach.value


def user_removed(found: node.UserRemoved) -> str:
    """What was done about a user."""
    return f"{found.address} is removed; {found.bounced} waiting messages went back to their senders."


# ── peers and queues ────────────────────────────────────────────────────────────────────────────────────────────────


def peer_changed(found: node.PeerActed) -> str:
    """What was done about a peer."""
    match found.action:
        case node.PeerAction.ALLOW:
            return f"{found.provider} is allowed."
        case node.PeerAction.BLOCK:
            return f"{found.provider} is blocked."
        case node.PeerAction.CLEAR:
            return f"{found.provider} is judged by the policy ({found.policy.value}) from now on."
        case node.PeerAction.FORGET:
            return f"{found.provider} is forgotten."
        case node.PeerAction.PIN:
            return f"{found.provider} is bound to the key with fingerprint {found.fingerprint}."


def trouble(peer: node.PeerNow) -> str:
    """Why the last try failed, or the last link ended; empty if nothing has."""
    return peer.error or (reason(peer.code) if peer.code else "")


def queue_changed(found: node.QueueActed) -> str:
    """What was done about what waits for a peer."""
    match found.action:
        case node.QueueAction.RETRY:
            if found.linked:
                return f"{found.provider} is linked."
            return f"{found.provider} is tried now; {found.count} wait for it."
        case node.QueueAction.DROP:
            return f"{found.count} messages for {found.provider} are given up; their senders are told."


def left(found: node.ProviderLeft) -> str:
    """How a provider was closed; one line or two."""
    peers = "one linked peer" if found.told == 1 else f"{found.told} linked peers"
    lines = [f"{found.provider} has told {peers}, and stops. Others learn it from them."]
    if found.left_behind:
        lines.append(f"{found.left_behind} reports of what became of messages could not be delivered any more.")
    return "\n".join(lines)
