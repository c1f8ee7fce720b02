"""The key directory: packages of devices, each issued once, and answers that can be given again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from waypost.clock import WallMs
from waypost.ids import User
from waypost.protocol.directory.package import PackageState
from waypost.storage.operations.base import Operation, Question


@dataclass(frozen=True, slots=True)
class StoredPackage:
    suite: str
    expires_ms: WallMs
    data: bytes


@dataclass(frozen=True, slots=True)
class Issued:
    """What a claim got for one device."""

    device: bytes
    state: PackageState
    package: bytes
    left: int  #: one-time packages that remain


# ── operations ──────────────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class AddPackages(Operation[int]):
    """Add packages, replace the last-resort one of its suite; answers with how many one-time ones are left.

    The same upload again changes nothing; expired packages are not stored. Raises Refused(CONFLICT): same upload id,
    other contents; Refused(QUOTA) beyond PACKAGES_PER_DEVICE_MAX, or SUITES_PER_CLAIM_MAX suites at once;
    Refused(FORBIDDEN): no such device.
    """

    device: bytes
    upload: bytes
    at_ms: WallMs
    packages: Sequence[StoredPackage]
    last_resort: StoredPackage | None


@dataclass(frozen=True, slots=True)
class IssuePackages(Operation[list[Issued]]):
    """Issue, for each device of the account, the oldest unexpired one-time package of the first suite it has.

    Once, and never again. In order of joining; empty if there is no such account.
    """

    user: User
    suites: Sequence[str]
    at_ms: WallMs


@dataclass(frozen=True, slots=True)
class RememberAnswer(Operation[None]):
    """For `AnswerTo`. The first answer stands."""

    request: bytes
    digest: bytes
    answer: bytes
    at_ms: WallMs


KeysOperation = AddPackages | IssuePackages | RememberAnswer

# ── questions ───────────────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class AnswerTo(Question[bytes | None]):
    """The answer given to that request. Raises Refused(CONFLICT): same id, other contents."""

    request: bytes
    digest: bytes


@dataclass(frozen=True, slots=True)
class PackagesLeft(Question[int]):
    """Unexpired one-time packages of a device."""

    device: bytes
    at_ms: WallMs


KeysQuestion = AnswerTo | PackagesLeft
