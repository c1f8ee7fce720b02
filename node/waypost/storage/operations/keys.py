"""The key directory: packages of devices, each issued once, and answers that can be given again."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct

from waypost.clock import WallMs
from waypost.ids import User
from waypost.protocol.directory.package import PackageState
from waypost.storage.operations.base import Operation, Question


class StoredPackage(Struct, frozen=True):
    suite: str
    expires_ms: WallMs
    data: bytes


class Issued(Struct, frozen=True):
    """What a claim got for one device."""

    device: bytes
    state: PackageState
    package: bytes
    left: int  #: one-time packages that remain


class AddPackages(Struct, Operation[int], frozen=True):
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


class IssuePackages(Struct, Operation[list[Issued]], frozen=True):
    """Issue, for each device of the account, the oldest unexpired one-time package of the first suite it has.

    Once, and never again. In order of joining; empty if there is no such account.
    """

    user: User
    suites: Sequence[str]
    at_ms: WallMs


class RememberAnswer(Struct, Operation[None], frozen=True):
    """For `AnswerTo`. The first answer stands."""

    request: bytes
    digest: bytes
    answer: bytes
    at_ms: WallMs


KeysOperation = AddPackages | IssuePackages | RememberAnswer


class AnswerTo(Struct, Question[bytes | None], frozen=True):
    """The answer given to that request. Raises Refused(CONFLICT): same id, other contents."""

    request: bytes
    digest: bytes


class PackagesLeft(Struct, Question[int], frozen=True):
    """Unexpired one-time packages of a device."""

    device: bytes
    at_ms: WallMs


KeysQuestion = AnswerTo | PackagesLeft
