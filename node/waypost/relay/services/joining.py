"""A device joins an account: the first by an invite, further ones with a device list that has grown."""

from __future__ import annotations

import trio

from waypost.errors import Code, Refused
from waypost.protocol.directory.asks import Join, JoinReply
from waypost.protocol.directory.bundle import DeviceList, open_device_list
from waypost.protocol.directory.invite import token_hash
from waypost.relay.accounts import Accounts, LocalUser
from waypost.relay.federation.own_record import OwnRecord
from waypost.relay.services.service import Asker, Caller, Reply, Service, Table, reply
from waypost.relay.tasks import Surroundings
from waypost.storage.operations.accounts import AddDevice, Device, Invited


class Joining:
    """See the module."""

    def __init__(self, around: Surroundings, accounts: Accounts, own: OwnRecord) -> None:
        self._clock = around.clock
        self._store = around.store
        self._accounts = accounts
        self._own = own
        self._one_by_one = trio.Lock()
        self.table: Table = {Join: Service(frozenset({Asker.STRANGER, Asker.DEVICE}), self._join)}

    async def _join(self, caller: Caller, ask: Join) -> Reply:
        devices = open_device_list(ask.device_list, caller.source)
        # One after the other: two lists that follow the same one must not both be taken.
        async with self._one_by_one:
            return await self._admit(caller, ask, devices)

    async def _admit(self, caller: Caller, ask: Join, devices: DeviceList) -> Reply:
        store, now_ms = self._store, self._clock.wall_ms()
        hashed = token_hash(ask.token)
        invited = await store.read(Invited(hashed, now_ms))
        # A device that has joined may ask again: the answer was lost, or its list has grown.
        user = self._accounts.get(invited) if invited is not None else self._accounts.of_device(caller.key)
        if user is None or str(user.address) != caller.source or caller.key not in devices.devices:
            raise Refused(Code.INVITE_INVALID)
        _check_follows(user, devices)
        device = Device(caller.key, user.account.user, ask.label, now_ms, 0)
        await store.submit(AddDevice(hashed, device, ask.device_list))
        return reply(JoinReply(str(user.address), self._own.signed, store.epoch))


def _check_follows(user: LocalUser, devices: DeviceList) -> None:
    """A list may grow, under the same identity, with a sequence that rises. Raises Refused."""
    if not user.account.device_list:
        return
    before = open_device_list(user.account.device_list, str(user.address))
    if before.key != devices.key:
        raise Refused(Code.OTHER_IDENTITY)
    if devices != before and devices.sequence <= before.sequence:
        raise Refused(Code.CONFLICT)
    if not set(before.devices) <= set(devices.devices):
        raise Refused(Code.CONFLICT)
