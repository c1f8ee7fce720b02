"""Users on the node under test, whose devices the checker plays."""

from __future__ import annotations

import secrets
from dataclasses import dataclass

from waypost.crypto.keys import SigningKey
from waypost.errors import Code, LocalError, describe
from waypost.protocol.directory.asks import AskReach, Join, JoinReply
from waypost.protocol.directory.bundle import DeviceList, sign_device_list
from waypost.protocol.directory.invite import Invite, parse_invite
from waypost.protocol.frames.codec import read
from waypost.protocol.frames.messages import Role
from waypost_lab.conformance.check import Failed
from waypost_lab.conformance.peer import Identity, Party


@dataclass(frozen=True)
class Resident:
    """A user with one device. `token`: that of the invite that the device has joined with."""

    address: str
    key: SigningKey
    identity: SigningKey
    token: bytes

    @property
    def user(self) -> str:
        return self.address.rpartition("@")[0]

    @property
    def as_device(self) -> Identity:
        return Identity(Role.DEVICE, self.address, self.key)

    def device_list(self, sequence: int = 1, *others: bytes, signer: SigningKey | None = None) -> bytes:
        """A signed list of the own device and others."""
        key = signer or self.identity
        return sign_device_list(DeviceList(1, self.address, key.public, sequence, (self.key.public, *others)), key)


@dataclass(frozen=True)
class Guests:
    """What the operator's invites allow."""

    alice: Invite
    bob: Invite
    spare: Invite | None = None  #: a further one for alice


def read_invites(texts: list[str]) -> Guests | None:
    """None without any. Raises LocalError(BAD_INVITE): not decodable, or not two users' of one provider."""
    invites = [parse_invite(text) for text in texts]
    if not invites:
        return None
    first = invites[0]
    other = next((each for each in invites if each.address != first.address), None)
    if other is None or other.node_key != first.node_key:
        raise LocalError(Code.BAD_INVITE, "the checker needs invites for two users of the node that it judges")
    spare = next((each for each in invites[1:] if each.address == first.address), None)
    return Guests(first, other, spare)


def fresh_key() -> SigningKey:
    return SigningKey(secrets.token_bytes(32))


async def join(link: Party, invite: Invite, key: SigningKey) -> tuple[Resident, JoinReply]:
    """Use an invite on a link that has been greeted as its address. Raises LocalError(INVITE_INVALID)."""
    person = Resident(invite.address, key, fresh_key(), invite.token)
    answer = await link.ask(Join(invite.token, person.device_list(), "conformance checker"))
    if answer.code:
        detail = f"the node answers {describe(answer.code)} to the invite for {invite.address}"
        raise LocalError(Code.INVITE_INVALID, detail)
    return person, read(answer.body, JoinReply)


async def open_to_all(device: Party) -> None:
    """Let other providers write to the account: the checker will, under many names."""
    answer = await device.ask(AskReach("all"))
    if answer.code:
        raise Failed(f"Reach with `all` is refused: {describe(answer.code)}")
