"""The key bundle: what a sender needs to start an encrypted exchange, and the three signatures that hold it together.

The account's identity key signs the device list; each device signs its key packages; the serving node signs the whole
answer to a claim. A sender checks all three and pins the identity key, so neither the recipient's node nor the sender's
own can slip in a device that the account's owner has not listed, without the pinned identity key changing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from msgspec import Meta, Struct

from waypost.clock import WallMs
from waypost.crypto.keys import Purpose, SigningKey, verify
from waypost.crypto.seal import package_id
from waypost.errors import Code, PeerFault
from waypost.ids import Address
from waypost.limits import DEVICES_PER_ACCOUNT_MAX, PACKAGE_MAX_BYTES
from waypost.protocol.directory.asks import ClaimAnswer, ClaimReply
from waypost.protocol.directory.package import PackageState
from waypost.protocol.directory.record import open_record
from waypost.protocol.frames.codec import U53, Key, Name, Suite, pack, read
from waypost.protocol.frames.signed import Signed, open_self_signed, sign


class DeviceList(Struct, frozen=True, array_like=True, gc=False):
    """The devices of an account, signed by its identity key (`key`). Each change has a higher sequence."""

    version: Annotated[int, Meta(ge=1, le=1)]
    address: Name
    key: Key
    sequence: U53
    devices: Annotated[tuple[Key, ...], Meta(max_length=DEVICES_PER_ACCOUNT_MAX)]


class DevicePackage(Struct, frozen=True, array_like=True, gc=False):
    """A key to write to one device with one suite, signed by the device (`key`). `init`: the suite's own public key."""

    version: Annotated[int, Meta(ge=1, le=1)]
    suite: Suite
    key: Key
    init: Annotated[bytes, Meta(max_length=PACKAGE_MAX_BYTES)]
    expires_ms: U53
    last_resort: bool


@dataclass(frozen=True, slots=True)
class OpenPackage:
    """A key package that its device signed. `id` names it in a sealed body."""

    package: DevicePackage
    id: bytes


@dataclass(frozen=True, slots=True)
class Bundle:
    """A checked key bundle of one account."""

    address: Address
    identity_key: bytes
    list_sequence: int
    packages: tuple[OpenPackage, ...]
    states: tuple[tuple[bytes, PackageState], ...]  #: of each device key
    node_key: bytes
    at_ms: WallMs


def sign_device_list(devices: DeviceList, identity: SigningKey) -> bytes:
    """The list's signed bytes."""
    return sign(identity, Purpose.DEVICE_LIST, devices)


def open_device_list(data: bytes, address: str) -> DeviceList:
    """Raises PeerFault(BAD_FRAME | BAD_SIGNATURE)."""
    devices = open_self_signed(data, Purpose.DEVICE_LIST, DeviceList)
    if devices.address != address or len(set(devices.devices)) != len(devices.devices):
        raise PeerFault(Code.BAD_FRAME, f"device list is not one of {address}")
    return devices


def sign_package(package: DevicePackage, device: SigningKey) -> bytes:
    """The package's signed bytes."""
    return sign(device, Purpose.KEY_PACKAGE, package)


def open_package(data: bytes, device: bytes) -> OpenPackage:
    """Raises PeerFault(BAD_FRAME | BAD_SIGNATURE)."""
    package = open_self_signed(data, Purpose.KEY_PACKAGE, DevicePackage)
    if package.key != device:
        raise PeerFault(Code.BAD_SIGNATURE, "package belongs to another device")
    return OpenPackage(package, package_id(read(data, Signed).payload))


def sign_claim(reply: ClaimReply, node: SigningKey, node_record: bytes) -> ClaimAnswer:
    """The signed answer of the serving node."""
    payload = pack(reply)
    return ClaimAnswer(payload, node.sign(Purpose.ANSWER, payload), node_record)


def open_claim(answer: ClaimAnswer, address: Address, request: bytes, now_ms: WallMs) -> Bundle:
    """Check a claim's answer wholly. Raises PeerFault: what does not fit, fits nowhere.

    The caller compares `identity_key` with the one that it has pinned for the address.
    """
    record = open_record(answer.node_record, now_ms).record
    verify(record.key, Purpose.ANSWER, answer.reply, answer.signature)
    reply = read(answer.reply, ClaimReply)
    if reply.address != str(address) or reply.request != request or record.name != address.provider:
        raise PeerFault(Code.BAD_FRAME, "the answer is to another question")
    devices = open_device_list(reply.device_list, str(address))
    packages: list[OpenPackage] = []
    for keys in reply.devices:
        if keys.device not in devices.devices:
            raise PeerFault(Code.BAD_SIGNATURE, "the answer names a device that the account does not list")
        if not keys.package:
            continue
        opened = open_package(keys.package, keys.device)
        if opened.package.expires_ms <= now_ms:
            raise PeerFault(Code.EXPIRED, "key package")
        packages.append(opened)
    states = tuple((keys.device, PackageState(keys.state)) for keys in reply.devices)
    return Bundle(address, devices.key, devices.sequence, tuple(packages), states, record.key, reply.at_ms)
