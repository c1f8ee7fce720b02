"""Times, sizes and the steps of a message, in words."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from typing import Any

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
    for above, below, small, large in (
        (3_600, 60, "s", "min"),
        (86_400, 3_600, "min", "h"),
        (1 << 62, 86_400, "h", "d"),
    ):
        if whole < above:
            step = below // (60 if below < 86_400 else 24)
            rest = whole % below // step
            return f"{whole // below} {large}" + (f" {rest} {small}" if rest else "")
    raise AssertionError("unreachable")


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


def step(row: Mapping[str, Any]) -> str:
    """One line of a trace: `event`, `party` and `code` as a node keeps them."""
    party, number = row.get("party") or "", int(row.get("code") or 0)
    if not party:  # a profile knows the steps, not the parties
        return str(row["event"]) + (f": {reason(number)}" if number else "")
    match row["event"]:
        case "accepted":
            return f"accepted from {party}: in this node's custody"
        case "queued":
            return f"put in the queue for {party}"
        case "held":
            return f"handed to {party}, which has confirmed that it holds it"
        case "delivered":
            return f"delivered to {party}, whose device has confirmed it"
        case "bounced":
            return f"refused for good by {party}: {reason(number)}"
        case "expired":
            return f"given up: {reason(number)}"
        case "deferred":
            return f"not taken for now by {party}: {reason(number)}; it stays here and is tried again"
        case other:
            return f"{other} {party}" + (f": {reason(number)}" if number else "")


def standing(found: Mapping[str, Any]) -> str:
    """Where a message is now: `state`, `code`, `next_try_ms` and `rows` of a trace."""
    number, next_ms = int(found.get("code") or 0), int(found.get("next_try_ms") or 0)
    match found["state"]:
        case "accepted" | "queued":
            queued = [row["party"] for row in found["rows"] if row["event"] == "queued"]
            if queued and "@" in queued[-1]:
                return f"Waiting here until an app of {queued[-1]} connects."
            return "Accepted: it is on its way to its next hop."
        case "held":
            return "Held: the recipient's node has it, and delivers it when the recipient's app connects."
        case "delivered":
            return "Delivered."
        case "bounced":
            return f"Bounced: {reason(number)}. {remedy(number)}"
        case "expired":
            return f"Expired: {remedy(number) or 'send it again if it still matters.'}"
        case "waiting" | "deferred":
            due = f"; next try {until(next_ms)}" if next_ms else ""
            return f"Waiting: {reason(number) if number else 'for its next hop'}{due}."
        case other:
            return f"{other}."


def line(text: str = "") -> None:
    """A line for people, on the standard output."""
    sys.stdout.write(text + "\n")
