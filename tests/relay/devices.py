"""More devices of one account."""

from __future__ import annotations

from tests.relay.world import Device, World, key_of

from waypost.crypto.keys import SigningKey
from waypost.protocol.directory.asks import Join
from waypost.protocol.directory.bundle import DeviceList, sign_device_list
from waypost.protocol.directory.invite import parse_invite
from waypost.protocol.frames.messages import Answer


async def invite_token(w: World, node: str, user: str) -> bytes:
    return parse_invite(await w.nodes[node].relay.add_user(user, again=True)).token


def device_list(address: str, sequence: int, *devices: bytes, identity: SigningKey | None = None) -> bytes:
    key = identity or key_of(f"identity of {address}")
    return sign_device_list(DeviceList(1, address, key.public, sequence, devices), key)


async def try_join(w: World, device: Device, token: bytes, signed_list: bytes) -> Answer:
    await device._open()
    return await device.ask(Join(token, signed_list, "test"))


async def another_device(w: World, first: Device, name: str = "second") -> Device:
    """A further device of the same account, joined and connected."""
    node, user = first.address.rpartition("@")[2], first.address.rpartition("@")[0]
    device = Device(w, node, first.address, key_of(f"{name} device of {first.address}"))
    token = await invite_token(w, node, user)
    listed = device_list(first.address, 2, first.key.public, device.key.public)
    answer = await try_join(w, device, token, listed)
    assert answer.code == 0, answer
    device.disconnect()
    await device.until(lambda: device.closed is not None)
    await device.connect()
    return device
