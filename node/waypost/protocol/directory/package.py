"""What a claim gets for a device."""

from __future__ import annotations

from enum import StrEnum


class PackageState(StrEnum):
    """Which key package a device's part of a bundle holds."""

    ONE_TIME = "one-time"  #: issued once, and never again
    LAST_RESORT = "last-resort"
    EXHAUSTED = "exhausted"  #: none is left
    INCOMPATIBLE = "incompatible"  #: the device has none of the suites asked for
    OTHER = "other"  #: one that only a newer node knows

    @classmethod
    def _missing_(cls, value: object) -> PackageState:
        return cls.OTHER
