"""What is fuzzed: a decoder, seeds for it and the errors that it documents."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

from waypost.errors import PeerFault, WaypostError
from waypost.limits import FRAME_MAX_BYTES
from waypost.mls.base.errors import MlsError

Decode = Callable[[bytes], object]
#: A decoder fed in pieces must come to the same end as one fed whole.
Stream = Callable[[Sequence[bytes]], object]


@dataclass(frozen=True)
class Target:
    """One decoder. `repair` turns a spoilt seed into one that passes the outer check (a signature, a checksum)."""

    name: str
    decode: Decode
    seeds: Sequence[bytes]
    allowed: tuple[type[Exception], ...] = (PeerFault,)
    structured: bool = False  #: its seeds are msgpack, and are spoilt as such, too
    stream: Stream | None = None
    repair: Callable[[bytes], bytes] | None = None
    #: One input in so many is repaired.
    repair_every: int = 8
    #: The largest input that can reach it.
    largest: int = FRAME_MAX_BYTES
    #: How many times its own size an input may take while it is decoded.
    memory_factor: int = 12
    #: Tried before all others, in place of msgpack that is large.
    hostile: Sequence[bytes] | None = None
    #: True of an input that the decoder must not accept. It is asked of what is accepted and is none of the seeds.
    forged: Callable[[bytes], bool] | None = None


#: One of MLS. The cheapest element of a vector takes some hundred bytes; how many there may be is bounded.
mls_target: Final = partial(Target, allowed=(MlsError,), hostile=(), memory_factor=64)


def reason_of(error: Exception) -> str:
    """The error's name in its own list."""
    if isinstance(error, MlsError):
        return f"{error.fault.number} {error.fault.name}"
    if isinstance(error, WaypostError):
        return error.code.name
    raise TypeError(type(error))
