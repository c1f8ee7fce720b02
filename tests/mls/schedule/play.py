"""A schedule, played: what each step does, and what must hold whenever all is quiet."""

from __future__ import annotations

from collections import Counter

from scripts.support.mls.members import GROUP_ID, LIFETIME, NOW, Seeded, content, signer
from tests.mls.schedule import moves
from tests.mls.schedule.client import PSKS, Client, Surroundings
from tests.mls.schedule.hub import Hub, Kind, Letter, Violation, Wire
from tests.mls.schedule.outsiders import authenticators_in_reach, can_open
from tests.mls.schedule.steps import Action, Crash, Schedule, Step

from waypost.mls.base.errors import MlsError
from waypost.mls.group import Group
from waypost.mls.objects.credentials import BasicCredential
from waypost.mls.objects.extensions import ExternalSender, external_senders_extension
from waypost.mls.objects.proposals import Add
from waypost.mls.steps.committing import CommitOptions
from waypost.mls.steps.creating import GroupSpec
from waypost.mls.steps.epoch import GroupState

#: Letters and commits at rest are bounded by what a schedule can make; more rounds mean that it never comes to rest.
ROUNDS_MAX = 50


class Play:
    """The clients of a schedule and all that is between them. `counts` says what has happened."""

    def __init__(self, schedule: Schedule, client: type[Client] = Client) -> None:
        self.schedule = schedule
        self.random = Seeded(schedule.clients)
        self.hub, self.wire, self.counts = Hub(), Wire(), Counter[str]()
        self._authenticators: dict[int, bytes] = {}
        self._gone: list[tuple[GroupState, int, list[bytes]]] = []
        around = Surroundings(self.hub, self.random, schedule.suite, self.send, self._entered, self._left)
        self.clients = [client(f"client {number}", around) for number in range(schedule.clients)]
        self._begin()

    def _begin(self) -> None:
        first, *others = self.clients[: self.schedule.members]
        steward = ExternalSender(moves.STEWARD.public, BasicCredential(b"steward"))
        extensions = (external_senders_extension((steward,)),)
        spec = GroupSpec(GROUP_ID, self.schedule.suite, content(first.name), LIFETIME, extensions)
        group = Group.create(spec, signer(first.name), self.random)
        first.keep(first.stored(group), Crash.NOT)
        if others:
            adds = tuple(Add(other.publish()) for other in others)
            moves.commit(self, first, CommitOptions(adds), Crash.NOT)
        self.rest()

    def run(self) -> Counter[str]:
        """Play all steps, then come to rest. Raises Violation."""
        for step in self.schedule.steps:
            self.counts["steps"] += 1
            self._step(step)
        self.rest()
        self.counts["epochs"] = self.hub.epoch
        self.counts["ciphertexts"] = len(self.wire)
        return self.counts

    def _step(self, step: Step) -> None:
        able = [client for client in self.clients if moves.can(step.action, client)] or self.clients
        client = able[step.who % len(able)]
        if step.action is Action.REST:
            self.rest()
        elif moves.MOVES[step.action](self, client, step):
            self.counts[step.action.name] += 1
            if step.crash is not Crash.NOT:
                self.counts["crashes"] += 1

    # ── what the clients call ────────────────────────────────────────────────────────────────────────────────────

    def send(self, letter: Letter) -> None:
        """Put a copy before each of the others; proposals go to the hub, too."""
        if letter.epoch is not None:
            self.wire.record(letter.epoch, letter.message)
        if letter.kind is Kind.PROPOSAL:
            self.hub.post(letter, self.hub.epoch if letter.epoch is None else letter.epoch.context.epoch)
        for client in self.clients:
            if client.name != letter.sender:
                client.arrived.append(letter)

    def _entered(self, group: Group) -> None:
        if self._authenticators.setdefault(group.epoch, group.epoch_authenticator) != group.epoch_authenticator:
            raise Violation(f"members disagree in epoch {group.epoch}")

    def _left(self, state: GroupState, commit: bytes) -> None:
        reach = authenticators_in_reach(state, commit, PSKS)
        self._gone.append((state, state.epoch.context.epoch + 1, reach))

    # ── rest ─────────────────────────────────────────────────────────────────────────────────────────────────────

    def rest(self) -> None:
        """Let everything arrive and everyone follow, then check all that must hold."""
        self._settle()
        speaker = next(client for client in self.clients if client.active is not None)
        # Of a proposal whose letter was lost at the speaker, others may know.
        speaker.fetch_proposals()
        if speaker.active is not None and speaker.active.proposals:
            moves.commit(self, speaker, CommitOptions(), Crash.NOT)
            self._settle()
        self._check_agreement()
        self._check_reading(speaker)
        self.counts["rests"] += 1

    def _settle(self) -> None:
        for _ in range(ROUNDS_MAX):
            if not sum(self._advance(client) for client in self.clients):
                return
        raise Violation("this never comes to rest")

    def _advance(self, client: Client) -> bool:
        before, client.arrived = client.arrived, []
        stay = [letter for letter in before if not client.hear(letter, Crash.NOT)]
        client.arrived = [*stay, *client.arrived]
        moved = len(stay) < len(before)
        return client.follow(Crash.NOT) or moves.submit(self, client) or moved

    def _check_agreement(self) -> None:
        groups = [client.active for client in self.clients if client.active is not None]
        first = groups[0]
        for group in groups:
            self._entered(group)
            same = (
                group.epoch == self.hub.epoch,
                group.export_secret(b"test", b"", 32) == first.export_secret(b"test", b"", 32),
                group.ratchet_tree() == first.ratchet_tree(),
                group.members() == first.members(),
                not group.proposals,
                group.pending is None,
            )
            if not all(same):
                raise Violation(f"{group} and {first} at rest: {same}")
        for _, epoch, reach in self._gone:
            if self._authenticators.get(epoch) in reach:
                raise Violation(f"one who was removed can compute epoch {epoch}")

    def _check_reading(self, speaker: Client) -> None:
        """What is said now is read once by every member, and by nobody else."""
        _must(moves.say(self, speaker, b"at rest", Crash.NOT), f"{speaker.name} cannot speak")
        for client in self.clients:
            if client is speaker or client.active is None:
                continue
            letter = client.arrived.pop()
            _must(client.hear(letter, Crash.NOT) and letter.message in client.disk.read, f"{client.name} cannot read")
            if _reads(client, letter):
                raise Violation(f"{client.name} reads twice")
        letter = self.last_said
        for state, _, _ in self._gone:
            if can_open(state, letter.message):
                raise Violation("one who was removed reads on")

    last_said: Letter


def _reads(client: Client, letter: Letter) -> bool:
    assert client.active is not None
    try:
        client.active.process(letter.message, NOW)
    except MlsError:
        return False
    return True


def _must(holds: bool, what: str) -> None:
    if not holds:
        raise Violation(what)
