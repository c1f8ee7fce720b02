"""The faults. Nodes are named shortly or in full; an end of a way may also be a user, whose app is a machine too.

They are also what `waypost lab` says to a running lab, so each has a number that stays.
"""

from __future__ import annotations

from waypost.protocol.frames.codec import Name
from waypost.protocol.operator import OperatorRequest
from waypost_lab.box.answers import Done, Healed, LinkShaped, NodeDone


class Kill(OperatorRequest[NodeDone], frozen=True, tag=10):
    """As `kill -9`: what was not committed is gone, and the kernel closes the connections."""

    node: Name


class PowerLoss(OperatorRequest[Done], frozen=True, tag=11):
    """As `Kill`, and nobody is told: connections stay half-open on the other side."""

    node: Name


class Stop(OperatorRequest[NodeDone], frozen=True, tag=12):
    """In good order, as SIGTERM does."""

    node: Name


class Start(OperatorRequest[NodeDone], frozen=True, tag=13):
    """Again, with what its disk holds."""

    node: Name


class Leave(OperatorRequest[Done], frozen=True, tag=14):
    """For good, with a tombstone."""

    node: Name


class Cut(OperatorRequest[LinkShaped], frozen=True, tag=20):
    """Nothing passes any more from `a` to `b`, nor back unless `one_way`; nobody is told."""

    a: Name
    b: Name
    one_way: bool = False


class Mend(OperatorRequest[LinkShaped], frozen=True, tag=21):
    """The way is no longer cut; what else is wrong with it stays."""

    a: Name
    b: Name
    one_way: bool = False


class Slow(OperatorRequest[LinkShaped], frozen=True, tag=22):
    """Everything takes so long in each direction, and up to `jitter_s` more; 0 takes it back."""

    a: Name
    b: Name
    latency_s: float
    jitter_s: float = 0.0
    one_way: bool = False


class Loss(OperatorRequest[LinkShaped], frozen=True, tag=23):
    """This share of what is sent (0 to 1) is lost, and must be sent again; 0 takes it back."""

    a: Name
    b: Name
    share: float
    one_way: bool = False


class Heal(OperatorRequest[Healed], frozen=True, tag=24):
    """All ways between two are open and perfect again, both ways; between all if none are named."""

    a: Name = ""
    b: Name = ""


class FullDisk(OperatorRequest[Done], frozen=True, tag=30):
    """There is no room for more than the node's disk holds now."""

    node: Name


class FreeDisk(OperatorRequest[Done], frozen=True, tag=31):
    """There is room again."""

    node: Name


class SlowDisk(OperatorRequest[Done], frozen=True, tag=32):
    """A commit takes so long from now on; 0: as long as on a good disk."""

    node: Name
    commit_s: float = 0.0


class Skew(OperatorRequest[Done], frozen=True, tag=33):
    """How far the clock of a node or of a user's machine is ahead; negative: behind; 0: it is right."""

    who: Name
    seconds: float = 0.0


class LoseKey(OperatorRequest[Done], frozen=True, tag=34):
    """While the node is down: its key is gone, and it comes back with a new one."""

    node: Name


class Backup(OperatorRequest[Done], frozen=True, tag=35):
    """As `waypost backup`; the last one counts."""

    node: Name


class Restore(OperatorRequest[Done], frozen=True, tag=36):
    """As `waypost restore`, while the node is down: the state of its backup, under a new epoch."""

    node: Name


OnNode = Kill | Stop | Start
OnWay = Cut | Mend | Slow | Loss
Fault = OnNode | OnWay | PowerLoss | Leave | Heal | FullDisk | FreeDisk | SlowDisk | Skew | LoseKey | Backup | Restore


def undo(fault: Fault) -> Fault:
    """What ends it. Raises ValueError for what lasts, or is no fault."""
    match fault:
        case Kill(node) | PowerLoss(node) | Stop(node):
            return Start(node)
        case Cut(a, b, one_way):
            return Mend(a, b, one_way)
        case Slow(a, b, one_way=one_way):
            return Slow(a, b, 0.0, 0.0, one_way)
        case Loss(a, b, one_way=one_way):
            return Loss(a, b, 0.0, one_way)
        case FullDisk(node):
            return FreeDisk(node)
        case SlowDisk(node):
            return SlowDisk(node)
        case Skew(who):
            return Skew(who)
        case _:
            raise ValueError(f"nothing takes back {fault}")
