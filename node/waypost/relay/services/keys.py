"""Key packages: devices publish them, and whoever may write to an address claims them (DESIGN: key directory)."""

from __future__ import annotations

from hashlib import blake2b

import trio

from waypost.clock import MINUTE_MS, WallMs
from waypost.crypto.keys import Purpose, SigningKey
from waypost.errors import Code, Refused, code_of
from waypost.ids import Address, Provider, User
from waypost.limits import BUNDLE_MAX_BYTES, CLAIM_BURST, CLAIM_RATE_PER_S
from waypost.protocol.directory.asks import Claim, ClaimAnswer, ClaimReply, DeviceKeys, Publish, PublishReply
from waypost.protocol.directory.bundle import open_package
from waypost.protocol.frames.codec import SIGNATURE_BYTES, pack
from waypost.relay.accounts import Accounts
from waypost.relay.devices.devices import Devices
from waypost.relay.federation.own_record import OwnRecord
from waypost.relay.federation.requests import Requests
from waypost.relay.services.service import BUCKETS_MAX, Asker, Caller, Rate, Reply, Service, Table, reply
from waypost.relay.tasks import Surroundings
from waypost.routing.quota import Buckets
from waypost.storage.operations.keys import (
    AddPackages,
    AnswerTo,
    IssuePackages,
    PackagesLeft,
    RememberAnswer,
    StoredPackage,
)


class Keys:
    """See the module."""

    def __init__(
        self,
        provider: Provider,
        key: SigningKey,
        around: Surroundings,
        accounts: Accounts,
        devices: Devices,
        requests: Requests,
        own: OwnRecord,
    ) -> None:
        self._provider = provider
        self._key = key
        self._clock = around.clock
        self._log = around.log
        self._store = around.store
        self._accounts = accounts
        self._devices = devices
        self._requests = requests
        self._own = own
        self._issuing: dict[bytes, trio.Event] = {}  #: claims being answered, by request
        claims: Buckets[tuple[str, str]] = Buckets(CLAIM_RATE_PER_S, CLAIM_BURST, BUCKETS_MAX)
        self.table: Table = {
            Publish: Service(frozenset({Asker.DEVICE}), self._publish),
            Claim: Service(frozenset({Asker.DEVICE, Asker.NODE}), self._claim, Rate(claims, self._claimed)),
        }

    def _claimed(self, caller: Caller, ask: Claim) -> tuple[str, str] | None:
        """By the name that was asked for: a bucket for all that do not exist would tell them from those that do."""
        address = Address.of(ask.address)
        return (caller.source, address.user) if address.provider == self._provider else None

    async def _publish(self, caller: Caller, ask: Publish) -> Reply:
        store, now_ms = self._store, self._clock.wall_ms()
        if ask.epoch != store.epoch:
            # What the device believes to be here may be gone: it is told the epoch and starts anew.
            left = await store.read(PackagesLeft(caller.key, now_ms))
            return reply(PublishReply(left, store.epoch))
        packages = [_package(data, caller.key, now_ms, last_resort=False) for data in ask.packages]
        last = _package(ask.last_resort, caller.key, now_ms, last_resort=True) if ask.last_resort else None
        left = await store.submit(AddPackages(caller.key, ask.upload, now_ms, packages, last))
        return reply(PublishReply(left, store.epoch))

    async def _claim(self, caller: Caller, ask: Claim) -> Reply:
        provider = Address.of(ask.address).provider
        if provider != self._provider:
            if caller.asker is Asker.NODE:
                raise Refused(Code.NOT_FOUND)
            return await self._ask_peer(provider, ask)
        body = await self._serve_claim(caller, ask)
        signature = self._key.sign(Purpose.ANSWER, body)
        if not body:
            raise Refused(Code.NOT_FOUND)
        if caller.asker is Asker.NODE:
            return Reply(body, signature)
        return reply(ClaimAnswer(body, signature, self._own.signed))

    async def _ask_peer(self, provider: Provider, ask: Claim) -> Reply:
        answer, record = await self._requests.ask_peer(provider, ask)
        if answer.code:
            raise Refused(code_of(answer.code) or Code.INTERNAL)
        if len(answer.signature) != SIGNATURE_BYTES or len(answer.body) > BUNDLE_MAX_BYTES or not record:
            self._log.warning("a claim's answer makes no sense", peer=provider)
            raise Refused(Code.INTERNAL)
        return reply(ClaimAnswer(answer.body, answer.signature, record))

    async def _serve_claim(self, caller: Caller, ask: Claim) -> bytes:
        """The encoded reply; empty for not-found."""
        now_ms = self._clock.wall_ms()
        request = blake2b(ask.request + caller.source.encode(), digest_size=32).digest()
        digest = blake2b(pack((ask.address, *ask.suites)), digest_size=32).digest()
        # The same request, sent again while it is being answered, must not use up a second package.
        while request in self._issuing:
            await self._issuing[request].wait()
        issuing = self._issuing[request] = trio.Event()
        try:
            given = await self._store.read(AnswerTo(request, digest))
            if given is None:
                given = await self._issue(caller, ask, now_ms)
                await self._store.submit(RememberAnswer(request, digest, given, now_ms))
        finally:
            del self._issuing[request]
            issuing.set()
        return given

    async def _issue(self, caller: Caller, ask: Claim, now_ms: WallMs) -> bytes:
        """Empty for not-found, which takes the same steps so that its time tells nothing."""
        found = self._accounts.get(Address.of(ask.address).user)
        if found is not None and not self._accounts.may_reach(found, caller.provider):
            found = None
        name = found.account.user if found else User("")  # nobody's
        issued = await self._store.submit(IssuePackages(name, ask.suites, now_ms))
        if found is None:
            return b""
        if not issued:
            raise Refused(Code.NO_KEYS)
        for each in issued:
            self._devices.keys_low(each.device, each.left)
        keys = tuple(DeviceKeys(each.device, each.state, each.package) for each in issued)
        return pack(ClaimReply(ask.request, ask.address, now_ms, found.account.device_list, keys))


def _package(data: bytes, device: bytes, now_ms: WallMs, *, last_resort: bool) -> StoredPackage:
    package = open_package(data, device).package
    if package.last_resort is not last_resort or package.expires_ms <= now_ms + MINUTE_MS:
        raise Refused(Code.BAD_REQUEST)
    return StoredPackage(package.suite, package.expires_ms, data)
