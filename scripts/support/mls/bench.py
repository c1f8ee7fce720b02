"""`scripts/bench mls`: what the group protocol costs, in milliseconds of CPU on one core."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from scripts.support.mls import peers
from scripts.support.mls.full_tree import full_group
from scripts.support.mls.members import NOW, Seeded, adding, bundles_of, create, names, together

from waypost.mls.base.registry import WireFormat
from waypost.mls.base.suites import SUITES, X25519_AES128, CipherSuite
from waypost.mls.group import ApplicationMessage, Group, StagedCommit
from waypost.mls.objects.commit import Commit
from waypost.mls.objects.framing import PublicMessage, decode_message
from waypost.mls.steps.committing import CommitOptions, TreeDelivery
from waypost.mls.steps.sending import Framing

#: What an application message carries: random bytes of a text's size.
TEXT = Seeded(7)(200)
SIZES = (50, 200, 1_000)
FULL_SIZES = (2, 8, 32, 128, 512, 1_000)
#: (members, what) -> milliseconds that the project has set itself for suite 0x0001.
TARGETS = {
    (2, "encrypt"): 0.25,
    (2, "decrypt"): 0.25,
    (50, "commit"): 8.0,
    (50, "process"): 2.0,
    (200, "add"): 140.0,
    (200, "join"): 60.0,
    (200, "commit"): 20.0,
    (200, "process"): 4.0,
}
_MESSAGES = 400
_ROUNDS = 9

_PUBLIC = CommitOptions(framing=Framing(WireFormat.PUBLIC_MESSAGE))

Figures = dict[str, float]


class Stopwatch:
    """CPU time of this process by name, of which the medians count."""

    def __init__(self) -> None:
        self._spent: dict[str, list[float]] = {}

    @contextmanager
    def time(self, what: str) -> Iterator[None]:
        started = time.process_time()
        yield
        self._spent.setdefault(what, []).append(1000 * (time.process_time() - started))

    def medians(self) -> Figures:
        return {what: round(statistics.median(spent), 3) for what, spent in self._spent.items()}


def measure(progress: Callable[[str], None]) -> dict[str, Any]:
    """All figures. `progress` is told what is being measured."""
    result: dict[str, Any] = {"suites": {}, "full": {}, "peers": {}}
    for suite in SUITES.values():
        progress(_name(suite))
        rows = {"2": pair(suite)} | {str(size): grown(size, suite) for size in SIZES}
        result["suites"][_name(suite)] = rows
    for size in FULL_SIZES:
        progress(f"a full tree of {size}")
        result["full"][str(size)] = full(size)
    for found in peers.installed():
        progress(found.name)
        rows = {"2": peer_pair(found)} | {str(size): peer_grown(found, size) for size in SIZES[:2]}
        result["peers"][found.name] = rows
    result["absent"] = peers.absent()
    result["targets"] = {f"{what} at {size}": limit for (size, what), limit in TARGETS.items()}
    return result


def pair(suite: CipherSuite) -> Figures:
    """Application messages between two members, signatures included."""
    random, watch = Seeded(1), Stopwatch()
    alice, bob = together(names(2), suite, random)
    for _ in range(_MESSAGES):
        with watch.time("encrypt"):
            alice, message = alice.encrypt(TEXT, random)
        with watch.time("decrypt"):
            read = bob.process(message, NOW)
        assert isinstance(read, ApplicationMessage)
        bob = read.group
    return watch.medians() | {"overhead_bytes": len(message) - len(TEXT)}


def grown(size: int, suite: CipherSuite) -> Figures:
    """A group whose creator adds all others by one commit, then commits again and again; one other member follows.

    It is the worst case: all other leaves are unmerged, so a commit has a ciphertext for each of them. Adding is also
    measured with the tree apart: in the Welcome it is hashed anew for each new member (§12.4.3.1).
    """
    random, watch = Seeded(size), Stopwatch()
    for _ in range(3 if size < 500 else 1):
        alice, bundles = create(names(1)[0], random, suite), bundles_of(names(size)[1:], suite, random)
        everyone, before = adding(bundles), alice.snapshot
        with watch.time("add"):
            alice, added = alice.commit(random, NOW, everyone)
        with watch.time("add_apart"):
            Group(before, alice.rules).commit(random, NOW, replace(everyone, tree=TreeDelivery.APART))
        alice = alice.merge_pending(NOW)
        with watch.time("join"):
            bob = Group.join(added.welcomes[0].message, bundles[0])
    alice, commit = _commits(alice, bob, random, watch)
    sizes = {"add_bytes": len(added.message), "welcome_bytes": len(added.welcomes[0].message)}
    return watch.medians() | sizes | {"commit_bytes": len(commit)}


def full(size: int) -> Figures:
    """The same commits where everyone has committed before."""
    random, watch = Seeded(size), Stopwatch()
    alice, bob = full_group(size, X25519_AES128, random)
    alice, commit = _commits(alice, bob, random, watch)
    return watch.medians() | {"commit_bytes": len(commit)} | _path(alice)


def _commits(alice: Group, bob: Group, random: Seeded, watch: Stopwatch) -> tuple[Group, bytes]:
    for _ in range(_ROUNDS):
        with watch.time("commit"):
            alice, pending = alice.commit(random, NOW)
        with watch.time("process"):
            staged = bob.process(pending.message, NOW)
            assert isinstance(staged, StagedCommit)
            bob = staged.apply(NOW)
        alice = alice.merge_pending(NOW)
    assert alice.epoch_authenticator == bob.epoch_authenticator
    return alice, pending.message


def _path(alice: Group) -> Figures:
    """The nodes of an update path and its ciphertexts."""
    _, pending = alice.commit(Seeded(3), NOW, _PUBLIC)
    message = decode_message(pending.message)
    assert isinstance(message, PublicMessage)
    commit = message.content.content
    assert isinstance(commit, Commit)
    assert commit.path is not None
    nodes = commit.path.nodes
    return {"path": len(nodes), "ciphertexts": sum(len(node.encrypted_path_secret) for node in nodes)}


def peer_pair(found: peers.Peer) -> Figures:
    """The same as `pair` with another implementation at both ends."""
    watch = Stopwatch()
    alice, bob = found.start(), found.start()
    alice.create()
    bob.join(alice.add([bob.key_package()])[1])
    for _ in range(_MESSAGES):
        with watch.time("encrypt"):
            message = alice.encrypt(TEXT)
        with watch.time("decrypt"):
            data = bob.decrypt(message)
        assert data == TEXT
    return watch.medians()


def peer_grown(found: peers.Peer, size: int) -> Figures:
    """The same as `grown`."""
    watch = Stopwatch()
    for _ in range(3):
        alice, others = found.start(), [found.start() for _ in range(size - 1)]
        alice.create()
        packages = [other.key_package() for other in others]
        with watch.time("add"):
            _, welcome = alice.add(packages)
        with watch.time("join"):
            others[0].join(welcome)
    if found.commits:
        for _ in range(_ROUNDS):
            with watch.time("commit"):
                commit = alice.commit()
            with watch.time("process"):
                others[0].process(commit)
            alice.process_own(commit)
    return watch.medians()


def _name(suite: CipherSuite) -> str:
    return f"0x{suite.value:04x}"


# ── for a person ────────────────────────────────────────────────────────────────────────────────────────────────────


def show(result: dict[str, Any]) -> None:
    """Print the figures as tables."""
    print("ms of CPU, medians; members were all added by one commit\n")
    _row("suite", "members", "encrypt", "decrypt", "add", "add apart", "join", "commit", "process", "commit bytes")
    for name, rows in (result["suites"] | result["peers"]).items():
        for size, figures in rows.items():
            _row(name, size, *(_shown(figures, what) for what in _COLUMNS))
    for note in result["absent"]:
        print(note)
    print("\nfull tree, suite 0x0001: everyone has committed before\n")
    _row("members", "path", "ciphertexts", "commit bytes", "commit", "process")
    for size, figures in result["full"].items():
        _row(size, *(_shown(figures, what) for what in ("path", "ciphertexts", "commit_bytes", "commit", "process")))
    print("\nset by the project for suite 0x0001\n")
    own = result["suites"][_name(X25519_AES128)]
    for (size, what), limit in TARGETS.items():
        found = own[str(size)][what]
        print(f"  {what:8} at {size:>3}: {found:8.3f} ms of {limit:g}{'' if found <= limit else '   OVER'}")


_COUNTS = ("path", "ciphertexts", "commit_bytes")
_COLUMNS = ("encrypt", "decrypt", "add", "add_apart", "join", "commit", "process", "commit_bytes")


def _shown(figures: Figures, what: str) -> str:
    if what not in figures:
        return "–"
    return f"{figures[what]:,.0f}" if what in _COUNTS else f"{figures[what]:.2f}"


def _row(first: object, *others: object) -> None:
    print(f"{first!s:<26}" + "".join(f"{cell!s:>13}" for cell in others))
