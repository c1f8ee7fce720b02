"""Our relay with one promise broken at a time, so that each check is seen to find what it is there for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import msgspec
import pytest

from waypost.errors import Code, PeerFault, Refused, is_for_good
from waypost.ids import Address
from waypost.limits import MIB
from waypost.links import pump
from waypost.protocol.custody import outbox
from waypost.protocol.custody import transfer as custody
from waypost.protocol.custody.envelope import decode_envelope
from waypost.protocol.directory.record import NodeRecord, VerifiedRecord
from waypost.protocol.frames import codec, handshake, messages, session
from waypost.protocol.frames.codec import pack, read
from waypost.protocol.frames.messages import Message, Notice, Pong, Query
from waypost.protocol.frames.session import Session
from waypost.protocol.frames.signed import Signed
from waypost.relay.accounts import Accounts
from waypost.relay.custody import couriers, intake, outcomes
from waypost.relay.custody.outcomes import Outcomes
from waypost.relay.custody.upkeep import Upkeep
from waypost.relay.devices.devices import Devices
from waypost.relay.devices.signals import Signals
from waypost.relay.door import admit
from waypost.relay.federation import record_book as records
from waypost.relay.federation.peer_links import PeerLinks
from waypost.relay.services import reach
from waypost.relay.services.keys import Keys
from waypost.relay.services.tracks import Tracks
from waypost.routing import policy, router
from waypost.routing.router import FromDevice, FromPeer, Refuse, Route
from waypost.storage.memory import keys as memory_keys
from waypost.storage.memory import mail as memory_mail
from waypost.storage.memory.state import MemoryState
from waypost.storage.operations.mail import Accepted, Item
from waypost_lab.conformance import lasting

Patch = pytest.MonkeyPatch
MUTANTS: dict[str, tuple[Callable[[Patch], None], tuple[str, ...]]] = {}


def mutant(*checks: str) -> Callable[[Callable[[Patch], None]], Callable[[Patch], None]]:
    """A way to break the node, and the checks that must fail then."""

    def register(patch: Callable[[Patch], None]) -> Callable[[Patch], None]:
        MUTANTS[patch.__name__] = (patch, checks)
        return patch

    return register


def nothing(*_: object, **__: object) -> None:
    """Instead of a function that looks whether something is right."""


# ── the wire ────────────────────────────────────────────────────────────────────────────────────────────────────────


@mutant("pings")
def cuts_large_nonces(patch: Patch) -> None:
    patch.setattr(session, "Pong", lambda nonce: Pong(min(nonce, 2**31)))


@mutant("a type number that is not defined", "a type number of 0", "last_words")
def accepts_unknown_types(patch: Patch) -> None:
    def lenient(frame: bytes) -> Any:
        try:
            return messages.decode(frame)
        except PeerFault as fault:
            if fault.code is Code.UNKNOWN_TYPE:
                return Notice(999)
            raise

    patch.setattr(session, "decode", lenient)


@mutant("a byte behind the array", "two arrays in one frame")
def reads_the_first_value_alone(patch: Patch) -> None:
    def lenient(frame: bytes) -> Any:
        for end in range(len(frame), 0, -1):
            try:
                return messages.decode(frame[:end])
            except PeerFault:
                continue
        return messages.decode(frame)

    patch.setattr(session, "decode", lenient)


@mutant("1.0 as an integer", "text as an integer")
def converts_numbers(patch: Patch) -> None:
    lax = msgspec.msgpack.Decoder(Message, strict=False)
    patch.setattr(session, "decode", lax.decode)


@mutant("of which the length alone has come", "the largest length there is", "large_before_hello")
def waits_for_frames_of_any_length(patch: Patch) -> None:
    def unbounded(self: codec.FrameBuffer, _max_bytes: int = 0) -> None:
        self.max_bytes, self._buffer = 2**32, bytearray()

    patch.setattr(codec.FrameBuffer, "__init__", unbounded)


@mutant("longest_forms", "odd_receipt")
def wants_the_shortest_encoding(patch: Patch) -> None:
    def strict(frame: bytes) -> Any:
        message = messages.decode(frame)
        if pack(message) != frame and not isinstance(message, Query):
            raise PeerFault(Code.BAD_FRAME)
        return message

    patch.setattr(session, "decode", strict)


@mutant("too_many_requests")
def takes_any_number_of_requests(patch: Patch) -> None:
    patch.setattr(session, "QUERIES_IN_FLIGHT_MAX", 10_000)


@mutant("one_answer_each")
def answers_twice(patch: Patch) -> None:
    answer = Session.answer

    def twice(self: Session, *args: Any, **more: Any) -> None:
        answer(self, *args, **more)
        answer(self, *args, **more)

    patch.setattr(Session, "answer", twice)


@mutant("passed_on_as_it_came")
def encodes_envelopes_anew(patch: Patch) -> None:
    def anew(id_: bytes, data: bytes, *rest: Any) -> Any:
        return Item(id_, pack(decode_envelope(data)), *rest)

    patch.setattr(intake, "Item", anew)


# ── the link ────────────────────────────────────────────────────────────────────────────────────────────────────────


@mutant("replay", "for another connection's exporter", "of another role", "low_order_key", "unreduced_proof")
def does_not_look_at_proofs(patch: Patch) -> None:
    patch.setattr(handshake, "verify", nothing)


@mutant("a name with a capital", "an address as the name of a node")
def takes_any_name(patch: Patch) -> None:
    patch.setattr(handshake, "_name_fits", lambda _role, _name: True)


@mutant("a clock 7 minutes ahead", "a clock 7 minutes behind")
def does_not_look_at_clocks(patch: Patch) -> None:
    patch.setattr(handshake, "CLOCK_TOLERANCE_MS", 10**15)


@mutant("that its key has not signed", "record in Hello that has expired", "issued 7 minutes ahead", "whose former key")
def takes_any_record(patch: Patch) -> None:
    def unchecked(data: bytes, _now_ms: int) -> VerifiedRecord:
        return VerifiedRecord(read(read(data, Signed).payload, NodeRecord), data)

    patch.setattr(admit, "open_record", unchecked)


@mutant("higher_sequence")
def takes_the_latest_record(patch: Patch) -> None:
    patch.setattr(records, "supersedes", lambda _new, _old: True)


@mutant("pinned", "succession")
def forgets_keys(patch: Patch) -> None:
    admit = policy.admit
    patch.setattr(policy, "admit", lambda claim, *rest: admit(replace(claim, known=None), *rest))


@mutant("says_nothing", "says_little")
def waits_for_ever_for_a_hello(patch: Patch) -> None:
    patch.setattr(pump, "HANDSHAKE_TIMEOUT_S", 10_000.0)


@mutant("silence")
def never_leaves_the_silent(patch: Patch) -> None:
    patch.setattr(session, "SILENT_AFTER_S", 10_000.0)


@mutant("last_words", "a Ping without its nonce")
def hangs_up_without_a_word(patch: Patch) -> None:
    patch.setattr(Session, "_fail", lambda self, fault: self._end(session.Closed(fault.code.number, "", False)))


@mutant("never_reads")
def reads_however_much_it_owes(patch: Patch) -> None:
    patch.setattr(pump, "UNREAD_ABOVE_BYTES", 10**12)
    patch.setattr(lasting, "_FLOOD_BYTES", MIB)


@mutant("newer_link")
def keeps_both_links(patch: Patch) -> None:
    attach = PeerLinks.attach

    def keeping(self: PeerLinks, peer: Any, link: Any) -> bool:
        peer.link = None
        return attach(self, peer, link)

    patch.setattr(PeerLinks, "attach", keeping)


@mutant("crossed_ours", "crossed_theirs")
def keeps_the_wrong_link(patch: Patch) -> None:
    loses = PeerLinks._loses

    def wrongly(self: PeerLinks, new: Any, former: Any) -> bool:
        return new.peer.dialed is not former.peer.dialed and not loses(self, new, former)

    patch.setattr(PeerLinks, "_loses", wrongly)


@mutant("device_of_another")
def lets_devices_in_under_any_address(patch: Patch) -> None:
    refusal = Devices.refusal

    def lax(self: Devices, address: str, key: bytes) -> Code | None:
        return None if self._accounts.of_device(key) else refusal(self, address, key)

    patch.setattr(Devices, "refusal", lax)


# ── custody ─────────────────────────────────────────────────────────────────────────────────────────────────────────


@mutant("whose signature does not fit", "another_purpose", "unreduced_receipt")
def believes_any_receipt(patch: Patch) -> None:
    patch.setattr(custody, "verify", nothing)


@mutant("batch_numbers", "one_sequence")
def does_not_count_batches(patch: Patch) -> None:
    open_, receipt = custody.Receiver._open, custody.Receiver.receipt
    latest: dict[int, Any] = {}

    def lax(self: custody.Receiver, number: int, *args: Any) -> None:
        self._last = -1
        open_(self, number, *args)
        latest[number] = self._window._batches[number]

    def again(self: custody.Receiver, number: int, *args: Any) -> Any:
        # Of two batches with one number the second has taken the place of the first.
        if number not in self._window._batches:
            self._window.open(number, latest[number])
        return receipt(self, number, *args)

    patch.setattr(custody.Receiver, "_open", lax)
    patch.setattr(custody.Receiver, "receipt", again)


@mutant("keeps_to_the_window")
def offers_beyond_the_window(patch: Patch) -> None:
    patch.setattr(custody._Window, "room", property(lambda _self: custody.Room(512, 10**6)))


@mutant("one_receipt_each", "ids", "from_a_peer")
def signs_another_digest(patch: Patch) -> None:
    patch.setattr(custody, "batch_digest", lambda _ids: bytes(32))


@mutant("ids", "delivered_to_a_peer", "acknowledged")
def acknowledges_without_storing(patch: Patch) -> None:
    patch.setattr(memory_mail, "accept", lambda *_: Accepted((), 0))


@mutant("duplicates", "acknowledged")
def hands_on_what_it_knows(patch: Patch) -> None:
    accept = memory_mail.accept

    def forgetful(state: MemoryState, deposit: Any, changes: Any) -> Any:
        state.seen.clear()
        return accept(state, deposit, changes)

    patch.setattr(memory_mail, "accept", forgetful)


@mutant("unknown_refusal")
def gives_up_what_it_does_not_understand(patch: Patch) -> None:
    final = is_for_good
    patch.setattr(outbox, "is_for_good", lambda number: number > 20_000 or final(number))


@mutant("refused_for_good", "refused_by_a_peer")
def never_gives_up(patch: Patch) -> None:
    patch.setattr(outbox, "is_for_good", lambda _number: False)


@mutant("long_hint", "long_hint_of_the_hop")
def waits_as_long_as_it_is_told(patch: Patch) -> None:
    for module in (outcomes, couriers):
        patch.setattr(module, "RETRY_HINT_MAX_S", 10**9)


@mutant("expired")
def never_expires(patch: Patch) -> None:
    async def idle(self: Upkeep) -> None:
        """Nothing."""

    patch.setattr(Upkeep, "expire", idle)


def routed(change: Callable[[Any, Any, Any, Any], Any]) -> Any:
    """`change` may overrule what the router says: it gets the envelope, the origin, the view and the decision."""

    def route(envelope: Any, origin: Any, view: Any, now_ms: int) -> Any:
        return change(envelope, origin, view, router.route(envelope, origin, view, now_ms))

    return route


@mutant("from_a_peer", "from_a_device")
def lets_forged_senders_pass(patch: Patch) -> None:
    def believe(envelope: Any, origin: Any, view: Any, decision: Any) -> Any:
        if decision != Refuse(Code.FORGED_SENDER):
            return decision
        sender = Address.of(envelope.sender)
        honest = FromDevice(sender) if isinstance(origin, FromDevice) else FromPeer(sender.provider)
        return router.route(envelope, honest, view, 0)

    patch.setattr(intake, "route", routed(believe))


@mutant("no_transit")
def carries_for_others(patch: Patch) -> None:
    def carry(envelope: Any, _origin: Any, view: Any, decision: Any) -> Any:
        if decision != Refuse(Code.NOT_OURS):
            return decision
        mailbox = view.peer_mailbox(envelope.provider)
        return decision if isinstance(mailbox, Code) else Route((mailbox,))

    patch.setattr(intake, "route", routed(carry))


@mutant("several")
def passes_over_the_missing(patch: Patch) -> None:
    def silent(_envelope: Any, _origin: Any, _view: Any, decision: Any) -> Any:
        return replace(decision, missing=()) if isinstance(decision, Route) else decision

    patch.setattr(intake, "route", routed(silent))


@mutant("times")
def does_not_look_at_times(patch: Patch) -> None:
    patch.setattr(router, "time_fault", nothing)


@mutant("speaks_for_its_own")
def believes_peers_about_others(patch: Patch) -> None:
    reported = Outcomes.reported

    def gullible(self: Outcomes, _party: str, told: Sequence[Any]) -> Any:
        each = [reported(self, Address.of(outcome.recipient).provider, [outcome]) for outcome in told]
        settlements, refusals = (
            [settlement for settlement, _ in each],
            [refusal for _, some in each for refusal in some],
        )
        traces = [trace for settlement in settlements for trace in settlement.traces]
        reports = [report for settlement in settlements for report in settlement.reports]
        return msgspec.structs.replace(settlements[0], traces=traces, reports=reports), refusals

    patch.setattr(Outcomes, "reported", gullible)


@mutant("traces")
def shows_traces_to_anyone(patch: Patch) -> None:
    find = Tracks.find
    patch.setattr(Tracks, "find", lambda self, id_, **_of: find(self, id_))


@mutant("signals")
def passes_on_forged_signals(patch: Patch) -> None:
    def gullible(self: Signals, _peer: Any, signal: Any) -> None:
        self._pass_on(Address.of(signal.recipient), signal)

    patch.setattr(Signals, "from_peer", gullible)


# ── the directory ───────────────────────────────────────────────────────────────────────────────────────────────────


@mutant("not_found")
def tells_who_exists(patch: Patch) -> None:
    issue = Keys._issue

    async def leaky(self: Keys, caller: Any, ask: Any, now_ms: int) -> bytes:
        found = self._accounts.get(Address.of(ask.address).user)
        if found is not None and not self._accounts.may_reach(found, caller.source):
            raise Refused(Code.FORBIDDEN)
        return await issue(self, caller, ask, now_ms)

    patch.setattr(Keys, "_issue", leaky)


@mutant("consent", "unwelcome_signals", "not_found")
def does_not_ask_for_consent(patch: Patch) -> None:
    patch.setattr(Accounts, "may_reach", lambda _self, _user, _provider: True)


@mutant("in_order", "at_once", "same_upload")
def issues_a_package_twice(patch: Patch) -> None:
    issue = memory_keys.issue_packages
    given: dict[object, Any] = {}  # answers by question

    def again(state: MemoryState, user: Any, suites: Any, at_ms: int) -> Any:
        key = (user, tuple(suites))
        if key not in given:
            given[key] = issue(state, user, suites, at_ms)
        return given[key]

    patch.setattr(memory_keys, "issue_packages", again)


@mutant("in_order")
def prefers_the_last_suite(patch: Patch) -> None:
    issue = memory_keys.issue_packages
    patch.setattr(
        memory_keys, "issue_packages", lambda state, user, suites, at_ms: issue(state, user, suites[::-1], at_ms)
    )


@mutant("same_request", "remembered")
def forgets_what_it_answered(patch: Patch) -> None:
    patch.setattr(memory_keys, "_answer_to", lambda *_: None)


@mutant("expired_package")
def issues_expired_packages(patch: Patch) -> None:
    issue = memory_keys.issue_packages
    patch.setattr(memory_keys, "issue_packages", lambda state, user, suites, _at_ms: issue(state, user, suites, 0))


@mutant("reach")
def takes_any_list_of_providers(patch: Patch) -> None:
    patch.setattr(reach, "is_canonical_provider", lambda _name: True)


@mutant("another_epoch")
def takes_packages_of_any_epoch(patch: Patch) -> None:
    publish = Keys._publish

    async def lax(self: Keys, caller: Any, ask: Any) -> Any:
        return await publish(self, caller, msgspec.structs.replace(ask, epoch=self._store.epoch))

    patch.setattr(Keys, "_publish", lax)
