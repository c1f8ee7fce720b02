"""What the parts of an open profile share."""

from __future__ import annotations

from dataclasses import dataclass, field

import anyio

from waypost.client.at_rest import AtRest
from waypost.client.database import Database, open_database
from waypost.client.incoming import Incoming
from waypost.client.journal import Changed
from waypost.client.outgoing import Outgoing
from waypost.client.own_keys import OwnKeys
from waypost.client.parts import Parts
from waypost.client.profile import Profile
from waypost.protocol.directory.bundle import DeviceList, sign_device_list


class Bell:
    """Wakes one waiter; rung while nobody waits, it is heard by the next."""

    def __init__(self) -> None:
        self._rung = anyio.Event()

    def ring(self) -> None:
        self._rung.set()

    async def wait(self, timeout_s: float) -> None:
        """Until it rings, at most that long."""
        with anyio.move_on_after(timeout_s):
            await self._rung.wait()
        self._rung = anyio.Event()


class Watch:
    """Lets tasks wait until something about a name changes."""

    def __init__(self) -> None:
        self._waiters: dict[bytes, anyio.Event] = {}

    def event(self, name: bytes) -> anyio.Event:
        """Set at the next change. Ask for it before reading what may change."""
        return self._waiters.setdefault(name, anyio.Event())

    def changed(self, names: Changed) -> None:
        for name in names:
            if event := self._waiters.pop(name, None):
                event.set()


@dataclass(frozen=True)
class Core:
    """An open profile with its database."""

    profile: Profile
    parts: Parts
    database: Database
    outgoing: Outgoing
    incoming: Incoming
    keys: OwnKeys
    device_list: bytes
    sent: Watch = field(default_factory=Watch)  #: by local id
    #: Rung by whoever makes work for the task of that name.
    offers: Bell = field(default_factory=Bell)
    claims: Bell = field(default_factory=Bell)
    keys_low: Bell = field(default_factory=Bell)
    arrivals: Watch = field(default_factory=Watch)  #: by ARRIVED


#: The one name in `Core.arrivals`.
ARRIVED = b"inbox"


def open_core(profile: Profile, parts: Parts) -> Core:
    """Blocks. Raises LocalError: STATE_TOO_NEW, STATE_DAMAGED."""
    at_rest = AtRest(profile.storage_seed, parts.random)
    keys = OwnKeys(profile.device, at_rest, parts.random)
    return Core(
        profile,
        parts,
        open_database(profile.state_path, parts.offload),
        Outgoing(profile.address, at_rest, parts.random),
        Incoming(profile.address, at_rest, keys),
        keys,
        own_device_list(profile),
    )


def own_device_list(profile: Profile) -> bytes:
    """The signed list of this account's devices: this one."""
    devices = DeviceList(1, str(profile.address), profile.identity.public, 1, (profile.device.public,))
    return sign_device_list(devices, profile.identity)
