"""What the app verbs share: where the profile is, its passphrase, and running the SDK from a command."""

from __future__ import annotations

import getpass
import os
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeVar

import anyio

from waypost.client import Client, connect
from waypost.errors import Code, LocalError

T = TypeVar("T")


def profile_dir(path: Path | None) -> Path:
    """The directory that --profile names, `$WAYPOST_PROFILE`, or the user's own (XDG Base Directory Specification)."""
    if path is not None:
        return path.expanduser().absolute()
    if named := os.environ.get("WAYPOST_PROFILE"):
        return Path(named).absolute()
    base = os.environ.get("XDG_DATA_HOME")
    return (Path(base) if base else Path.home() / ".local" / "share") / "waypost" / "profile"


def passphrase() -> str | None:
    """`$WAYPOST_PASSPHRASE`, if there is one."""
    return os.environ.get("WAYPOST_PASSPHRASE")


def ask_passphrase(question: str) -> str | None:
    """What is typed; None where nobody can be asked."""
    if not sys.stdin.isatty():
        return None
    return getpass.getpass(question) or None


def with_client(profile: Path | None, work: Callable[[Client], Awaitable[T]]) -> T:
    """Run SDK code on a profile. Its passphrase is the environment's, or none; if that is wrong it is asked for."""

    async def connected(secret: str | None) -> T:
        async with connect(profile_dir(profile), secret) as me:
            return await work(me)

    def run(secret: str | None) -> T:
        return run_async(lambda: connected(secret))

    try:
        return run(passphrase())
    except LocalError as error:
        if error.code is not Code.WRONG_PASSPHRASE or passphrase() is not None:
            raise
        typed = ask_passphrase("Passphrase of the profile: ")
        if typed is None:
            raise
    return run(typed)


def run_async(work: Callable[[], Awaitable[T]]) -> T:
    """Run SDK code to its end."""
    return anyio.run(work, backend="trio")
