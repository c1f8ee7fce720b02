"""Numbers and times as a reader of the page wants them."""

from __future__ import annotations

from collections.abc import Sequence

_THIN = "\u202f"


def count(value: float) -> str:
    """`1234567` → `1,234,567`; a fraction keeps what three digits can say."""
    if value != round(value) and abs(value) < 100:
        return f"{value:.3g}"
    return f"{round(value):,}"


def brief(value: float) -> str:
    """For an axis: `0.5`, `250`, `1.2k`, `30k`, `4M`."""
    for size, letter in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= size:
            return f"{value / size:.3g}{letter}" if abs(value) < 999.5 * size else f"{value / size:,.0f}{letter}"
    return f"{value:.3g}"


def milliseconds(ms: float) -> str:
    """`850 µs`, `12 ms`, `3.4 s`, `2.5 min`, `5 h`, `3 d`."""
    for size, unit in ((86_400_000, "d"), (3_600_000, "h"), (60_000, "min"), (1_000, "s"), (1, "ms")):
        if ms >= size * 0.9995:
            value = ms / size
            return f"{value:.3g}{_THIN}{unit}" if value < 999.5 else f"{value:,.0f}{_THIN}{unit}"
    return f"{ms * 1000:.3g}{_THIN}µs" if ms > 0 else f"0{_THIN}ms"


def lasting(seconds: float) -> str:
    """`0.4 s`, `45 s`, `3 min 5 s`, `24 h`, `2 h 7 min`, `4 d 3 h`."""
    if seconds < 10:
        return f"{seconds:.3g} s"
    whole = round(seconds)
    for size, unit, part, below in ((86_400, "d", 3_600, "h"), (3_600, "h", 60, "min"), (60, "min", 1, "s")):
        if whole >= size and (unit != "d" or whole >= 2 * size):
            rest = whole % size // part
            return f"{whole // size} {unit}" + (f" {rest} {below}" if rest else "")
    return f"{whole} s"


def clock(t: float, end_s: float) -> str:
    """A moment of a run that lasts `end_s`: `12.34 s`, `4:05`, `17:04:05`, `3 d 17:04:05`."""
    if end_s <= 60:
        return f"{t:.2f} s"
    whole = int(t)
    minutes, hours, days = whole // 60, whole // 3_600, whole // 86_400
    if end_s < 3_600:
        return f"{minutes}:{whole % 60:02d}"
    if end_s < 2 * 86_400:
        return f"{hours}:{minutes % 60:02d}:{whole % 60:02d}"
    return f"{days} d {hours % 24}:{minutes % 60:02d}:{whole % 60:02d}"


def of(number: int, noun: str) -> str:
    """`1 node`, `5 nodes`."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def listed(names: Sequence[str], most: int = 4) -> str:
    """`a, b, c and 7 more`."""
    if len(names) <= most:
        return ", ".join(names)
    return f"{', '.join(names[: most - 1])} and {len(names) - most + 1} more"


def short(text: str, most: int) -> str:
    """At most `most` characters; the last is `…` if any are left out."""
    return text if len(text) <= most else text[: most - 1] + "…"
