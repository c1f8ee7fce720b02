"""Every scenario that ships is played, and with something broken in what ships it goes another way."""

import os
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest

from waypost.client.mail import incoming
from waypost.client.schemes import claimed
from waypost.client.schemes.own_packages import OwnPackages
from waypost.errors import Code
from waypost.protocol.custody import envelope
from waypost.protocol.frames import handshake, session
from waypost.relay import node
from waypost.relay.accounts import Accounts
from waypost.relay.custody.intake import DiskAlarm
from waypost.relay.custody.outcomes import Outcomes
from waypost.relay.federation.record_book import RecordBook
from waypost.relay.federation.routes import Routes
from waypost.relay.peer import Peer
from waypost.storage.memory import keys as memory_keys
from waypost.storage.memory import mail as memory_mail
from waypost.storage.memory.apply import apply
from waypost.storage.memory.state import MemoryState
from waypost.storage.operations.mail import Accept, Accepted
from waypost.storage.pending import Pending, to_stderr
from waypost_lab.durable import LabStore
from waypost_lab.scenario.parse import parse
from waypost_lab.scenario.play import Played, play
from waypost_lab.scenario.shipped import load, names

Break = Callable[[pytest.MonkeyPatch], None]


@pytest.mark.parametrize("name", names())
def test_scenario(name: str) -> None:
    played = play(load(name), seed=1)
    assert played.failure is None
    assert played.messages > 0


# ── each can fail ───────────────────────────────────────────────────────────────────────────────────────────────────


def without_dedup(patch: pytest.MonkeyPatch) -> None:
    """A node forgets at once what it has accepted."""
    accept = memory_mail.accept

    def forgetful(state: MemoryState, deposit: Any, changes: Any) -> Any:
        state.seen.clear()
        return accept(state, deposit, changes)

    patch.setattr(memory_mail, "accept", forgetful)


def answers_before_the_commit(patch: pytest.MonkeyPatch) -> None:
    """A node says that it has stored what is still to be written."""
    submit = LabStore.submit

    def hasty(self: LabStore, operation: Any) -> Any:
        if not isinstance(operation, Accept):
            return submit(self, operation)
        accepted = apply(self._disk.state, operation, [])
        if self._observer is not None:
            self._observer.committed(operation, accepted)
            self._disk.state.boxes[accepted.placed[0].mailbox].entries.clear()
        done: Pending[Accepted] = Pending()
        done.resolve(accepted, None, to_stderr)
        return done

    patch.setattr(LabStore, "submit", hasty)


def silent_about_losses(patch: pytest.MonkeyPatch) -> None:
    """What is given up is struck off, and nobody is told."""
    patch.setattr(Outcomes, "_bounce", lambda *_: [])


def deaf_to_silence(patch: pytest.MonkeyPatch) -> None:
    """A link from which nothing comes any more is kept."""
    patch.setattr(session, "SILENT_AFTER_S", 10**9)
    patch.setattr(session, "PING_AFTER_S", 10**9)
    patch.setattr(node, "RECEIPT_TIMEOUT_S", 10**9)


def deaf_to_tombstones(patch: pytest.MonkeyPatch) -> None:
    """What waits for a provider that has closed goes on waiting."""

    async def keep(_self: RecordBook, _peer: Peer) -> None:
        pass

    patch.setattr(RecordBook, "_give_up", keep)


def does_not_believe_tombstones(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Peer, "gone", property(lambda _: False))


def one_dead_peer_stops_all(patch: pytest.MonkeyPatch) -> None:
    """While anyone cannot be reached, mail for everyone waits."""
    peer_mailbox = Routes.peer_mailbox

    def unfair(self: Routes, provider: str) -> int | Code:
        return Code.UNREACHABLE if any(not peer.link for peer in self._peers.all()) else peer_mailbox(self, provider)

    patch.setattr(Routes, "peer_mailbox", unfair)


def without_last_resort(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(OwnPackages, "_wants_last_resort", lambda *_: False)


def uploads_count_anew(patch: pytest.MonkeyPatch) -> None:
    """A repeated upload is another one."""
    patch.setattr(memory_keys, "_answer_to", lambda *_: None)
    patch.setattr(memory_keys, "PACKAGES_PER_DEVICE_MAX", 10**6)


def same_epoch_after_a_restore(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(MemoryState, "new_epoch", lambda _: None)


def writes_on_to_old_keys(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(claimed, "drop", lambda *_: None)


def strict_about_time(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(handshake, "CLOCK_TOLERANCE_MS", 60_000)


def careless_about_time(patch: pytest.MonkeyPatch) -> None:
    for module in (handshake, envelope):
        patch.setattr(module, "CLOCK_TOLERANCE_MS", 10**9)


def no_mailbox_is_full(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Accounts, "_is_full", lambda *_: False)


def says_nothing_of_a_full_disk(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(DiskAlarm, "refused", lambda *_: None)


def hides_what_it_cannot_read(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(incoming.Incoming, "_take_one", lambda *_: Code.MALFORMED_ENVELOPE)


@pytest.mark.parametrize(
    ("name", "spoil"),
    [
        ("answer-lost-after-commit", without_dedup),
        ("restart-in-mid-batch", without_dedup),
        ("restart-in-mid-batch", answers_before_the_commit),
        ("poison-envelope", silent_about_losses),
        ("one-way-only", deaf_to_silence),
        ("three-nodes-one-leaves", deaf_to_tombstones),
        ("tombstone", does_not_believe_tombstones),
        ("dead-peer-delays-nobody", one_dead_peer_stops_all),
        ("prekeys-exhausted", without_last_resort),
        ("prekey-answer-lost", uploads_count_anew),
        ("restored-backup", same_epoch_after_a_restore),
        ("node-key-lost", writes_on_to_old_keys),
        ("clock-3-minutes-slow", strict_about_time),
        ("clock-7-minutes-fast", careless_about_time),
        ("full-mailbox", no_mailbox_is_full),
        ("disk-full", says_nothing_of_a_full_disk),
        ("cannot-be-read", hides_what_it_cannot_read),
    ],
)
def test_a_scenario_notices(name: str, spoil: Break, monkeypatch: pytest.MonkeyPatch) -> None:
    spoil(monkeypatch)
    assert play(load(name), seed=1).failure is not None


# ── the player ──────────────────────────────────────────────────────────────────────────────────────────────────────


def played(*lines: str) -> Played:
    text = "# A test\nnodes birdy, finch\nusers alice at birdy, bob at finch\nlight users carl at birdy\n"
    return play(parse(text + "\n".join(lines), "test"))


def test_a_failure_tells_line_reason_and_what_happened_before() -> None:
    failure = played('alice writes "hi" to bob', "power of finch fails", "within 5 seconds, bob sees it").failure
    assert failure is not None
    assert (failure.line, failure.text) == (7, "within 5 seconds, bob sees it")
    assert failure.instead == "bob has seen nothing"
    assert any("“hi” of alice@birdy to bob@finch: sent" in text for _, text in failure.events)
    assert [text for _, text in failure.events if text.startswith("line 7")] == [
        "line 7: within 5 seconds, bob sees it"
    ]


def test_what_must_stay_away_is_watched() -> None:
    assert played('alice writes "hi" to bob', "bob sees it", "for 1 hour, bob sees nothing").passed
    failure = played('alice writes "hi" to bob', "for 1 minute, bob sees nothing").failure
    assert failure is not None
    assert failure.instead == "bob has seen “hi”"


@pytest.mark.parametrize(
    ("lines", "instead"),
    [
        (["bob goes offline", 'bob writes "x" to alice'], "bob is offline"),
        (["finch loses its key"], "finch is up"),
        (["finch crashes", "finch is restored from its backup"], "finch has no backup"),
        (['alice\'s app chokes on "x"'], "only a light user's app"),
        (['carl\'s app is told "no such user"'], "a light user's app cannot"),
        (["the operator of birdy starts over with bob"], "bob is not at birdy"),
    ],
)
def test_what_cannot_be_done_is_said_with_its_line(lines: list[str], instead: str) -> None:
    failure = played(*lines).failure
    assert failure is not None
    assert failure.line == 4 + len(lines)
    assert instead in failure.instead


ORDER = """
import sys
from waypost_lab.scenario.play import play
from waypost_lab.scenario.shipped import load
print(play(load("disk-full"), seed=int(sys.argv[1])).digest)
"""


def digests(seed: int, hash_seed: str) -> str:
    environment = os.environ | {"PYTHONHASHSEED": hash_seed}
    command = [sys.executable, "-c", ORDER, str(seed)]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout


def test_the_same_seed_gives_the_same_play() -> None:
    first = digests(5, "1")
    assert digests(5, "2") == first
    assert digests(6, "1") != first
