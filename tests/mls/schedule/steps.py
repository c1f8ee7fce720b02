"""What can happen in a schedule, and what one is made of."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto

from hypothesis import strategies as st

from waypost.mls.base.suites import X25519_AES128, X25519_CHACHA20, XWING_AES128, CipherSuite


class Action(Enum):
    SAY = auto()
    #: One of the letters that have arrived at a client is read; any one, so the network reorders and delays.
    HEAR = auto()
    #: The same, and a copy of the letter stays behind.
    HEAR_AND_KEEP = auto()
    LOSE = auto()
    PROPOSE_ADD = auto()
    PROPOSE_UPDATE = auto()
    PROPOSE_REMOVE = auto()
    PROPOSE_PSK = auto()
    PROPOSE_FROM_OUTSIDE = auto()
    COMMIT = auto()
    COMMIT_ADD = auto()
    COMMIT_REMOVE = auto()
    COMMIT_SWAP = auto()
    COMMIT_PSK = auto()
    COMMIT_WITHOUT_PATH = auto()
    COMMIT_NEW_SIGNATURE_KEY = auto()
    DROP_COMMIT = auto()
    SUBMIT = auto()
    #: The next commit that the hub has accepted is applied.
    FOLLOW = auto()
    JOIN_FROM_OUTSIDE = auto()
    RESTART = auto()
    #: All letters arrive, all follow: those who should agree must.
    REST = auto()


class Crash(Enum):
    """Where within a step the process dies."""

    NOT = auto()
    BEFORE_STORING = auto()
    BEFORE_SENDING = auto()
    #: What had been sent is sent again after the restart.
    BEFORE_NOTING_THE_SENDING = auto()


@dataclass(frozen=True)
class Step:
    """`who` and `pick` choose among whatever there is, by their remainder."""

    action: Action
    who: int = 0
    pick: int = 0
    crash: Crash = Crash.NOT


@dataclass(frozen=True)
class Schedule:
    suite: CipherSuite
    clients: int
    #: How many of them are members when it begins.
    members: int
    #: Whether commits and proposals are sent as PublicMessages.
    public: bool
    steps: tuple[Step, ...]


_OFTEN = (
    *(Action.SAY, Action.HEAR, Action.SUBMIT, Action.FOLLOW) * 4,
    *(Action.COMMIT, Action.COMMIT_ADD, Action.COMMIT_REMOVE, Action.PROPOSE_UPDATE) * 2,
)
_CRASHES = (Crash.NOT,) * 6 + tuple(Crash)
_SUITES = (X25519_AES128,) * 5 + (X25519_CHACHA20,) * 4 + (XWING_AES128,)

steps = st.builds(
    Step,
    action=st.sampled_from((*_OFTEN, *Action)),
    who=st.integers(0, 11),
    pick=st.integers(0, 31),
    crash=st.sampled_from(_CRASHES),
)


@st.composite
def schedules(draw: st.DrawFn, most_steps: int = 100) -> Schedule:
    """Two to twelve clients, of which one to all are members at first, and what happens to them."""
    clients = draw(st.integers(2, 12))
    members = draw(st.integers(1, clients))
    made = draw(st.lists(steps, min_size=most_steps // 3, max_size=most_steps))
    return Schedule(draw(st.sampled_from(_SUITES)), clients, members, draw(st.booleans()), tuple(made))
