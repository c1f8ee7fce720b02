"""Feeds spoilt inputs to one decoder, and watches what comes out, how fast, and at what cost in memory."""

from __future__ import annotations

import random
import resource
import sys
import time
import traceback
import tracemalloc
import zlib
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field

from scripts.support.fuzz.mutate import Mutator
from scripts.support.fuzz.target import Target, reason_of

from waypost.errors import WaypostError
from waypost.limits import KIB, MIB

#: Inputs made at a time.
_BATCH = 2_000
#: One input in so many goes to a stream decoder byte by byte, too; and, in between, cut at random.
_BYTEWISE_EVERY = 50
_PIECES_EVERY = 8
#: One input in so many has its memory measured.
_MEASURE_EVERY = 400
#: What decoding may allocate at its peak beside `Target.memory_factor` times the input. msgpack's write buffer alone
#: is 256 KiB.
MEMORY_FLOOR_BYTES = 512 * KIB
#: What the process may grow by while it fuzzes one decoder: caches that are bounded, and the allocator's slack.
GROWTH_MAX_BYTES = 48 * MIB
_FAILURES_MAX = 10


@dataclass(frozen=True)
class Failure:
    """An input that did what none may do."""

    kind: str
    detail: str
    input: bytes

    def __str__(self) -> str:
        return f"{self.kind}: {self.detail}\n    input: {self.input[:80].hex()}{'…' if len(self.input) > 80 else ''}"


@dataclass
class Report:
    """What one decoder has been through."""

    name: str
    seed: int
    inputs: int = 0
    #: Where nothing but the originals may be accepted: inputs that are one of them still.
    unchanged: int = 0
    accepted: int = 0
    refused: int = 0
    seconds: float = 0.0  #: of CPU, without making the inputs
    peak_bytes: int = 0
    growth_bytes: int = 0
    codes: Counter[str] = field(default_factory=Counter)
    failures: list[Failure] = field(default_factory=list)

    @property
    def per_s(self) -> int:
        return round(self.inputs / self.seconds) if self.seconds else 0

    def as_json(self) -> dict[str, object]:
        fields = asdict(self) | {"per_s": self.per_s, "codes": dict(self.codes)}
        fields["failures"] = [str(failure) for failure in self.failures]
        return fields


def fuzz(target: Target, count: int, seed: int) -> Report:
    """`count` inputs from that seed; ends early after ten failures."""
    # Not hash(): that differs from run to run.
    rng = random.Random(zlib.crc32(target.name.encode()) ^ seed)
    mutator = Mutator(target.seeds, rng, structured=target.structured)
    report = Report(target.name, seed)
    for data in hostile(target.largest) if target.hostile is None else target.hostile:
        report.inputs += 1
        _measure(target, data, report)
    before = _resident()
    while report.inputs < count and len(report.failures) < _FAILURES_MAX:
        inputs = mutator.batch(min(_BATCH, count - report.inputs))
        if target.repair is not None:
            for index in range(0, len(inputs), target.repair_every):
                inputs[index] = _repaired(target, inputs[index])
        started = time.process_time()
        _feed_all(target, inputs, report)
        if target.stream is not None:
            _compare_all(target, inputs, rng, report)
        report.seconds += time.process_time() - started
        for data in inputs[::_MEASURE_EVERY]:
            _measure(target, data, report)
    report.growth_bytes = max(0, _resident() - before)
    if report.growth_bytes > GROWTH_MAX_BYTES:
        report.failures.append(Failure("memory", f"the process grew by {report.growth_bytes} bytes", b""))
    return report


def hostile(size: int) -> Sequence[bytes]:
    """As large as may be, and made to cost more than they weigh."""
    bodies = [
        b"\xdd\xff\xff\xff\xff",
        b"\x93\x03\x01\xdd\x00\x0f\xff\xff" + b"\xc4\x00" * (size // 2),
        b"\x93\x03\x01\xdd\x00\x0f\xff\xf0" + b"\xc0" * size,
        b"\x93\x05\x01\xdd\x00\x0f\xff\xf0" + b"\x90" * size,
        b"\x91" * size,
        b"\x81\xc0" * (size // 2),
        b"\xdd\x00\x0f\xff\xf0" + b"\x90" * size,
        b"\xdf\x00\x07\xff\xf0" + b"\x01\x80" * (size // 2),
        b"\x9c\x0c" + b"\xdb\x00\x0f\xff\x00" + b"a" * size,
        b"\xc6\x00\x0f\xff\xf0" + bytes(size),
        b"waypost:" + b"A" * size,
        b"a" * size,
        ("\u202e" * (size // 3)).encode(),
    ]
    cut = [body[:size] for body in bodies]
    return [*cut, *((len(body) - 4).to_bytes(4, "big") + body[4:] for body in cut)]


def _feed_all(target: Target, inputs: Sequence[bytes], report: Report) -> None:
    run, allowed, codes = target.decode, target.allowed, report.codes
    originals = frozenset(target.seeds) if target.forged is not None else frozenset[bytes]()
    accepted = unchanged = 0
    for data in inputs:
        if data in originals:
            unchanged += 1
            continue
        try:
            run(data)
        except allowed as error:
            codes[reason_of(error)] += 1
        except Exception:  # noqa: BLE001
            # reason: whatever comes out is what is looked for
            _escaped(data, report)
        else:
            accepted += 1
            if target.forged is not None and target.forged(data):
                report.failures.append(Failure("accepted", "it is none of the originals", data))
    report.inputs += len(inputs)
    report.accepted += accepted
    report.unchanged += unchanged
    report.refused += len(inputs) - accepted - unchanged


def _repaired(target: Target, data: bytes) -> bytes:
    assert target.repair is not None
    try:
        return target.repair(data)
    except (WaypostError, ValueError):
        return data


def _compare_all(target: Target, inputs: Sequence[bytes], rng: random.Random, report: Report) -> None:
    """What comes of an input may not depend on how the network cut it."""
    stream = target.stream
    assert stream is not None
    for index in range(0, len(inputs), _PIECES_EVERY):
        data = inputs[index]
        cuts = sorted(rng.randrange(len(data) + 1) for _ in range(3))
        pieces = [data[start:stop] for start, stop in zip([0, *cuts], [*cuts, len(data)], strict=True)]
        if index % _BYTEWISE_EVERY == 0:
            pieces = [data[at : at + 1] for at in range(len(data))]
        whole = _end(target, lambda data=data: stream([data]), data, report)  # type: ignore[misc]
        cut = _end(target, lambda pieces=pieces: stream(pieces), data, report)  # type: ignore[misc]
        if whole != cut:
            report.failures.append(Failure("pieces", f"whole gives {whole!r}, in pieces {cut!r}"[:600], data))


def _end(target: Target, decode: Callable[[], object], data: bytes, report: Report) -> object:
    """What comes of an input, or the name of the error."""
    try:
        return decode()
    except target.allowed as error:
        return reason_of(error)
    except Exception:  # noqa: BLE001
        # reason: whatever comes out is what is looked for
        _escaped(data, report)
        return None


def _measure(target: Target, data: bytes, report: Report) -> None:
    """Decode it once more, and see what that allocates at most."""
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        tracemalloc.reset_peak()
        _end(target, lambda: target.decode(data), data, report)
        peak = tracemalloc.get_traced_memory()[1] - before
    finally:
        tracemalloc.stop()
    report.peak_bytes = max(report.peak_bytes, peak)
    if peak > MEMORY_FLOOR_BYTES + target.memory_factor * len(data):
        report.failures.append(Failure("memory", f"{peak} bytes for an input of {len(data)}", data))


def _escaped(data: bytes, report: Report) -> None:
    kind, error, _ = sys.exc_info()
    where = "".join(traceback.format_exc(limit=-2).splitlines(keepends=True)[1:3]).strip()
    report.failures.append(Failure(kind.__name__ if kind else "?", f"{error} {where}"[:400], data))


def _resident() -> int:
    """The most that this process has had in memory so far."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
