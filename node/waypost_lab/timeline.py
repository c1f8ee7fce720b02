"""What a run writes down: one JSON object a line, of a closed set of kinds, so that any run can be drawn.

Times are seconds since the run began: of real runs by the clock, of simulated ones in virtual time.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

import msgspec

from waypost.errors import Code, LocalError


class Event(msgspec.Struct, frozen=True, tag_field="kind", kw_only=True, omit_defaults=True):
    """One line. `t`: seconds since the run began."""

    t: float = 0.0


class Run(Event, frozen=True, tag="run", kw_only=True):
    """The first line. `source`: lab, simulate, scenario, chaos or bench."""

    title: str
    source: str
    nodes: tuple[str, ...]
    seed: int = 0
    started_ms: int = 0  #: wall clock, of real runs


class NodeState(Event, frozen=True, tag="node", kw_only=True):
    """`state`: up, down (stopped or killed), gone (left for good)."""

    node: str
    state: str


class LinkState(Event, frozen=True, tag="link", kw_only=True):
    """A link between two nodes came up or ended."""

    a: str
    b: str
    up: bool


class Fault(Event, frozen=True, tag="fault", kw_only=True):
    """A fault begins: cut, slow, loss, crash, stop, disk-full, slow-disk, skew… It lasts until `Mended` with its id."""

    id: int
    name: str
    nodes: tuple[str, ...]
    detail: str = ""


class Mended(Event, frozen=True, tag="mended", kw_only=True):
    id: int


class Queue(Event, frozen=True, tag="queue", kw_only=True):
    """How much waits at `node` for `peer`, which is another node or a user's address."""

    node: str
    peer: str
    items: int
    bytes: int = 0


class Step(Event, frozen=True, tag="step", kw_only=True):
    """A message took a step: sent, accepted, held, delivered, bounced or expired. `id` in hex."""

    id: str
    step: str
    sender: str = ""
    recipient: str = ""
    code: int = 0


class Flow(Event, frozen=True, tag="flow", kw_only=True):
    """Counts of the `every_s` seconds before `t`; for runs too large to write down each message."""

    every_s: float
    accepted: int = 0
    delivered: int = 0
    bounced: int = 0
    expired: int = 0


class Latency(Event, frozen=True, tag="latency", kw_only=True):
    """From sending to delivery, of the messages delivered in the `every_s` seconds before `t`."""

    every_s: float
    count: int
    p50_ms: float
    p90_ms: float
    p99_ms: float
    max_ms: float


class Note(Event, frozen=True, tag="note", kw_only=True):
    """Something for the reader, such as a violated promise."""

    text: str
    level: str = "info"  #: or error


class End(Event, frozen=True, tag="end", kw_only=True):
    """The last line, with the figures that the run printed."""

    result: dict[str, Any]


AnyEvent = Run | NodeState | LinkState | Fault | Mended | Queue | Step | Flow | Latency | Note | End

_LINE_MAX = 1 << 24  #: bytes of a line; what is longer was not written by a recorder
_ENCODER = msgspec.json.Encoder()
_DECODER = msgspec.json.Decoder(AnyEvent)


class Recorder:
    """Writes a timeline. Each line is complete when `add` returns, so a run that dies leaves a readable one."""

    def __init__(self, path: Path) -> None:
        self._file: IO[bytes] = path.open("wb", buffering=0)

    def add(self, event: AnyEvent) -> None:
        self._file.write(_ENCODER.encode(event) + b"\n")

    def close(self) -> None:
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def write(path: Path, events: Iterable[AnyEvent]) -> None:
    """All at once."""
    path.write_bytes(b"".join(_ENCODER.encode(event) + b"\n" for event in events))


def read(path: Path) -> list[AnyEvent]:
    """All of a timeline; raises as `events` does."""
    return list(events(path))


def events(path: Path) -> Iterator[AnyEvent]:
    """One after the other, in the order of the file, so that a timeline may be larger than memory.

    A last line that was cut off is left out. Raises LocalError(BAD_CONFIG) when it comes to what is no timeline.
    """
    try:
        with path.open("rb") as file:
            yield from _decoded(file, path)
    except OSError as error:
        raise LocalError(Code.BAD_CONFIG, f"{path}: {error.strerror}") from error


def _decoded(file: IO[bytes], path: Path) -> Iterator[AnyEvent]:
    begun = False
    for number, line in enumerate(iter(lambda: file.readline(_LINE_MAX), b""), 1):
        if not line.strip():
            continue
        try:
            event = _DECODER.decode(line)
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            if begun and not line.endswith(b"\n") and len(line) < _LINE_MAX:
                return
            raise LocalError(Code.BAD_CONFIG, f"{path} line {number} is no event of a timeline: {error}") from error
        if not begun and not isinstance(event, Run):
            break
        begun = True
        yield event
    if not begun:
        raise LocalError(Code.BAD_CONFIG, f"{path} does not begin as a timeline does")
