"""Times, sizes and reasons, in words."""

from __future__ import annotations

import sys
import time

from waypost.errors import code_of, describe

_UNITS = ("B", "KiB", "MiB", "GiB", "TiB")


def size(count: float) -> str:
    """`1536` → `1.5 KiB`."""
    for unit in _UNITS[:-1]:
        if count < 1024:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1024
    return f"{count:.1f} {_UNITS[-1]}"


def duration(seconds: float) -> str:
    """The two largest units at most: `45 s`, `3 min 5 s`, `2 h 7 min`, `4 d 3 h`."""
    whole = int(seconds)
    if whole < 60:
        return f"{seconds:.1f} s" if 0 < seconds < 10 else f"{whole} s"
    minutes, s = divmod(whole, 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    parts = [(days, "d"), (hours, "h"), (minutes, "min"), (s, "s")]
    while not parts[0][0]:
        parts.pop(0)
    return " ".join(f"{count} {unit}" for count, unit in parts[:2] if count)


def moment(at_ms: int) -> str:
    """Local time, to the millisecond; with the date unless it is today's."""
    local = time.localtime(at_ms / 1000)
    form = "%H:%M:%S" if local[:3] == time.localtime()[:3] else "%Y-%m-%d %H:%M:%S"
    return f"{time.strftime(form, local)}.{at_ms % 1000:03d}"


def until(at_ms: int) -> str:
    """`in 8 s`, or `now` for what is due."""
    left = at_ms / 1000 - time.time()
    return f"in {duration(left)}" if left >= 1 else "now"


def reason(number: int) -> str:
    """`recipient's mailbox is full (201)`."""
    code = code_of(number)
    return f"{code.title} ({number})" if code else describe(number)


def remedy(number: int) -> str:
    """What can be done about it."""
    code = code_of(number)
    return code.remedy if code else ""


def line(text: str = "") -> None:
    """A line for people, on the standard output."""
    sys.stdout.write(text + "\n")
