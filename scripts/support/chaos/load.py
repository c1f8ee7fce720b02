"""Who writes to whom while a network is in a storm: all to all, some to people who are away, and a few to nobody."""

from __future__ import annotations

import random

from waypost_lab.box.traffic import Crowd, Letter
from waypost_lab.devices import BODY_BYTES, Device

#: At each node; comes online when the storm is over. Until then mail for them fills the node's database.
SLEEPER = "sleeper"
_NOBODY = "nobody"
#: Of the messages.
_TO_SLEEPERS = 0.15
_SLEEPERS_BODY_BYTES = 16 * 1024
_TO_NOBODY = 0.02


class Load:
    """Messages between users of different nodes."""

    def __init__(self, people: Crowd) -> None:
        self._sleepers = [device for device in people.devices if device.account.address.startswith(f"{SLEEPER}@")]
        self._awake = [device for device in people.devices if device not in self._sleepers]
        for device in self._sleepers:
            device.online = False

    def wake(self) -> None:
        """All come online."""
        for device in self._sleepers:
            device.online = True

    def letter(self, rng: random.Random) -> Letter:
        """The next message."""
        sender, kind = rng.choice(self._awake), rng.random()
        if kind < _TO_SLEEPERS:
            return Letter(sender, _elsewhere(sender, self._sleepers, rng).account.address, _SLEEPERS_BODY_BYTES)
        there = _elsewhere(sender, self._awake, rng).account.address
        if kind > 1 - _TO_NOBODY:
            there = f"{_NOBODY}@{_provider(there)}"
        return Letter(sender, there, rng.choice(BODY_BYTES))


def is_for_nobody(address: str) -> bool:
    """Whether it must come back."""
    return address.startswith(f"{_NOBODY}@")


def _elsewhere(sender: Device, devices: list[Device], rng: random.Random) -> Device:
    home = _provider(sender.account.address)
    return rng.choice([device for device in devices if _provider(device.account.address) != home])


def _provider(address: str) -> str:
    return address.rpartition("@")[2]
