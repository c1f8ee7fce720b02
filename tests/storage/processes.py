"""Several processes of one provider over one state, as a cluster has them; of commits the others hear as hints."""

from collections.abc import Callable
from random import Random

from waypost.storage.memory.engine import MemoryStore
from waypost.storage.memory.state import MemoryState
from waypost.storage.operations.accounts import AccountChanged
from waypost.storage.operations.changes import Change, Look, Subject
from waypost.storage.operations.peers import PeerChanged


class Process(MemoryStore):
    """One of them."""

    def hear(self, subject: Subject) -> None:
        """A hint has come."""
        self._feed.give((Look(subject),))


#: What becomes of a hint on its way: to whom it goes, and what about.
Way = Callable[[Process, Subject], None]


class Processes:
    """Two. A hint of each commit goes on `way` to the other."""

    def __init__(self, way: Way) -> None:
        state = MemoryState()
        self.both = Process(state), Process(state)
        for mine, other in (self.both, self.both[::-1]):
            mine.changes(lambda changes, other=other: self._hint(way, other, changes))  # type: ignore[misc]

    @staticmethod
    def _hint(way: Way, other: Process, changes: tuple[Change, ...]) -> None:
        for subject in {subject_of(change) for change in changes} - {None}:
            if subject is not None:
                way(other, subject)

    def look(self) -> None:
        """Both look again, as they do every 5 s, whatever they have heard."""
        for process in self.both:
            for subject in Subject:
                process.hear(subject)


def subject_of(change: Change) -> Subject | None:
    """What others have to look at; None: nothing that anyone has changed."""
    match change:
        case AccountChanged():
            return Subject.ACCOUNTS
        case PeerChanged():
            return Subject.PEERS
        case Look():
            return None
        case _:
            return Subject.MAIL


class Late:
    """Hints come when it pleases them: some late, some twice, some never."""

    def __init__(self, random: Random) -> None:
        self._random = random
        self._waiting: list[tuple[Process, Subject]] = []

    def __call__(self, process: Process, subject: Subject) -> None:
        self._waiting += [(process, subject)] * self._random.choice([0, 1, 1, 2])

    def some_arrive(self) -> None:
        self._random.shuffle(self._waiting)
        for _ in range(self._random.randint(0, len(self._waiting))):
            process, subject = self._waiting.pop()
            process.hear(subject)


def dropped(_process: Process, _subject: Subject) -> None:
    """No hint arrives."""
