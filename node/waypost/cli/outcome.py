"""How a verb ends: its exit code, and one line that says what went wrong and what to do."""

from __future__ import annotations

import json
import sys
from enum import IntEnum
from typing import Final

import msgspec

from waypost.errors import Code, Kind, WaypostError


class Exit(IntEnum):
    """What the exit code tells a script. `EPILOG` says it to people."""

    OK = 0
    FAILED = 1
    USAGE = 2
    ABSENT = 3
    REFUSED = 4
    TROUBLE = 5
    INTERRUPTED = 130


EPILOG: Final = (
    "Exit codes: 0 done; 1 not delivered, or faults found; 2 wrong usage or input; 3 no such node, state or profile, "
    "or it cannot be reached; 4 refused, by a policy, a limit or the other side; 5 trouble on this machine. "
    "With --json every verb prints one JSON object, or one a line."
)

_USAGE = frozenset(
    {
        Code.BAD_ADDRESS,
        Code.BAD_CONFIG,
        Code.BAD_INVITE,
        Code.BAD_REQUEST,
        Code.PROFILE_EXISTS,
        Code.TOO_LARGE,
        Code.TOO_MANY_RECIPIENTS,
        Code.UNKNOWN_MESSAGE,
        Code.USER_EXISTS,
        Code.WRONG_PASSPHRASE,
    }
)
_ABSENT = frozenset(
    {
        Code.CLOSING,
        Code.NOT_RUNNING,
        Code.NO_LAB,
        Code.NO_PROFILE,
        Code.PROVIDER_UNKNOWN,
        Code.STATE_MISSING,
        Code.TIMED_OUT,
        Code.UNREACHABLE,
    }
)
_FAILED = frozenset({Code.EXPIRED, Code.PEER_GONE, Code.DROPPED, Code.CANNOT_DECRYPT})


def exit_of(code: Code) -> Exit:
    """The exit code for a failure with that number."""
    if code in _USAGE:
        return Exit.USAGE
    if code in _ABSENT:
        return Exit.ABSENT
    if code in _FAILED:
        return Exit.FAILED
    if code is Code.IDENTITY_CHANGED:
        return Exit.REFUSED
    return Exit.TROUBLE if code.kind is Kind.LOCAL else Exit.REFUSED


def failure_of(error: BaseException) -> WaypostError | OSError | None:
    """The foreseeable error behind an exception, also if wrapped in groups; None if there is none, or not only such."""
    if isinstance(error, WaypostError | OSError):
        return error
    if isinstance(error, BaseExceptionGroup):
        inner = [failure_of(part) for part in error.exceptions]
        return inner[0] if all(inner) else None
    return None


def report(error: WaypostError | OSError, *, as_json: bool) -> Exit:
    """Say what went wrong; returns the exit code."""
    if isinstance(error, OSError):
        where = f"{error.filename}: " if error.filename else ""
        text, found, outcome = f"{where}{error.strerror or error}", None, Exit.TROUBLE
    else:
        text, found, outcome = str(error), error.code, exit_of(error.code)
    if as_json:
        fault = {"code": found.label, "number": found.number} if found is not None else {}
        print_json({"error": {**fault, "text": text}})
    else:
        sys.stderr.write(f"waypost: {text}\n")
    return outcome


def print_json(value: object) -> None:
    """A struct, or what JSON knows, in one line; at once, so that a reader of a pipe sees it."""
    sys.stdout.write(json.dumps(msgspec.to_builtins(value), ensure_ascii=False) + "\n")
    sys.stdout.flush()


def tell(found: object, text: str, *, as_json: bool) -> None:
    """What a verb has to say: to programs, or to people."""
    if as_json:
        print_json(found)
    else:
        sys.stdout.write(text + "\n")
