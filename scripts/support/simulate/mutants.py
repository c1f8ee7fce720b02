"""The relay with one promise taken out: the simulation must notice each within a few seeds.

A mutant is a change of one module's source, made while Python imports it, in a process of its own. The files on the
disk stay as they are.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from types import CodeType, ModuleType
from typing import Any


@dataclass(frozen=True)
class Mutant:
    """`changes` are texts that must be there, each with what takes its place."""

    name: str
    without: str
    module: str
    changes: tuple[tuple[str, str], ...]

    def apply(self, source: str) -> str:
        """Raises ValueError if the module has moved on and the mutant must follow."""
        for old, new in self.changes:
            if old not in source:
                raise ValueError(f"mutant {self.name}: {self.module} no longer has {old!r}")
            source = source.replace(old, new)
        return source


MUTANTS = (
    Mutant(
        "dedup",
        "an id known already is stored again",
        "waypost.storage.memory.mail",
        (("        if item.id not in state.seen:\n", "        if True:\n"),),
    ),
    Mutant(
        "receipt-first",
        "the receipt goes out before the commit",
        "waypost.relay.custody.intake",
        (
            (
                "        early = self._early.begin(judged.items)\n",
                (
                    "        early = self._early.begin(judged.items)\n"
                    "        self._acknowledge(link, offered.batch, judged)\n"
                ),
            ),
            (
                (
                    "            if not judged.missing:\n"
                    "                self._acknowledge(link, offered.batch, judged)\n"
                    "            self._tell_waiting"
                ),
                "            self._tell_waiting",
            ),
            (
                (
                    "            self._refuse(error, judged)\n"
                    "            self._acknowledge(link, offered.batch, judged)\n"
                    "            judged.missing.clear()\n"
                ),
                "            judged.missing.clear()\n",
            ),
            ("        if judged.missing:\n            self._settle_missing(link, offered.batch, judged)\n", ""),
        ),
    ),
    Mutant(
        "silent-expiry",
        "what has expired is deleted, and nobody is told",
        "waypost.relay.custody.upkeep",
        (
            (
                "self._outcomes.give_up(mailbox, parcel, expired, Code.EXPIRED, owner, keep)",
                "self._outcomes.give_up(mailbox, parcel, (), Code.EXPIRED, owner)",
            ),
        ),
    ),
    Mutant(
        "one-at-a-time",
        "peers are dialled one after the other, so that a dead one holds up the rest",
        "waypost.relay.door.dialer",
        (("trio.CapacityLimiter(DIALS_AT_ONCE)", "trio.CapacityLimiter(1)"),),
    ),
    Mutant(
        "claims-burn",
        "a claim that is repeated is answered anew",
        "waypost.relay.services.keys",
        (("given = await self._store.read(AnswerTo(request, digest))", "given = None"),),
    ),
    # What simulations have found in the relay, put back.
    Mutant(
        "news-dropped",
        "news for a sender whose mailbox is full are taken from the peer and dropped",
        "waypost.relay.custody.outcomes",
        (("if not roomy and self._accounts.device_mailboxes(sender):", "if False:"),),
    ),
    Mutant(
        "news-for-nobody",
        "news for a provider that has left wait for a day",
        "waypost.relay.peers",
        (
            (
                "return peer.mailbox or None if peer and not peer.gone else None",
                "return peer.mailbox or None if peer else None",
            ),
        ),
    ),
    Mutant(
        "early-apps",
        "apps are offered what their node may fail to commit",
        "waypost.relay.custody.couriers",
        (("if link.is_device or not self._outbox.idle", "if not self._outbox.idle"),),
    ),
)


class _Loader(SourceFileLoader):
    def __init__(self, name: str, path: str, mutant: Mutant) -> None:
        super().__init__(name, path)
        self._mutant = mutant

    def get_code(self, fullname: str) -> CodeType | None:
        # Not from the cache, and not into it.
        source = self.get_data(self.path).decode()
        return compile(self._mutant.apply(source), self.path, "exec", dont_inherit=True)


class _Finder(MetaPathFinder):
    def __init__(self, mutant: Mutant) -> None:
        self._mutant = mutant

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname != self._mutant.module:
            return None
        spec: Any = PathFinder.find_spec(fullname, path, target)
        spec.loader = _Loader(fullname, spec.origin, self._mutant)
        return spec  # type: ignore[no-any-return]


def breed(name: str) -> None:
    """From now on this process imports the mutant. Before anything of `waypost` is imported."""
    [mutant] = [mutant for mutant in MUTANTS if mutant.name == name]
    if mutant.module in sys.modules:
        raise RuntimeError(f"{mutant.module} is there already")
    sys.meta_path.insert(0, _Finder(mutant))
