"""Why a link could not be made, or did not last."""

from __future__ import annotations

from enum import Enum

from waypost.errors import Code, WaypostError


class Trouble(Enum):
    """The reasons, each worded for whoever has to mend it."""

    NO_ADDRESS = "the host's name does not resolve"
    REFUSED = "nothing listens at that address"
    NO_ROUTE = "no connection to that address"
    TIMED_OUT = "no answer in time"
    NOT_TLS = "the other side does not speak TLS"
    TLS_VERSION = "the other side does not speak TLS 1.3"
    NOT_WAYPOST = "the other side speaks TLS but not waypost/1"
    TLS_FAILED = "TLS failed"
    LOST = "the connection was lost"
    STALLED = "the other side takes no data"
    CLOSED = "the link was closed here"


class LinkBroken(WaypostError):
    """A link cannot be made or used any more. `trouble` says why; the code is always UNREACHABLE, so mail waits."""

    def __init__(self, trouble: Trouble, detail: str = "") -> None:
        super().__init__(Code.UNREACHABLE, f"{trouble.value} ({detail})" if detail else trouble.value)
        self.trouble = trouble
