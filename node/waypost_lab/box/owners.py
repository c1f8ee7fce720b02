"""Which process is at the other end of a connection on this machine.

All nodes dial from the same address, and before TLS nothing says who they are; but the kernel knows whose socket it
is. Linux only: it tells in `/proc`.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import trio

from waypost.errors import Code, LocalError

_TABLE = Path("/proc/net/tcp")
#: (its own port, the port that it has dialled), both on 127.0.0.1.
Ends = tuple[int, int]


def check() -> None:
    """Raises LocalError(UNSUPPORTED) where this cannot be told."""
    if not _TABLE.exists():
        raise LocalError(Code.UNSUPPORTED, f"a lab tells its nodes apart by {_TABLE}, which is Linux's")


def inodes_of(table: str, wanted: Collection[Ends]) -> dict[str, Ends]:
    """From the text of /proc/net/tcp: the socket's inode of each connection that is wanted and there."""
    names = {f"0100007F:{own:04X} 0100007F:{dialled:04X}": (own, dialled) for own, dialled in wanted}
    found = {}
    for line in table.splitlines():
        # "  12: local remote state …": the two addresses stand at a fixed place after the number.
        ends = names.get(line[line.find(":") + 2 :][:27])
        if ends is not None:
            found[line.split(maxsplit=10)[9]] = ends
    return found


def holders(wanted: Collection[Ends], pids: Mapping[int, str]) -> dict[Ends, str]:
    """The names, from `pids`, of those that hold the connections; whoever is none of these is left out."""
    inodes = inodes_of(_TABLE.read_text("ascii"), wanted)
    sockets = {f"socket:[{inode}]": ends for inode, ends in inodes.items() if inode != "0"}
    found: dict[Ends, str] = {}
    for pid, name in pids.items():
        # A process may end meanwhile, and files close while they are listed.
        with suppress(OSError), os.scandir(f"/proc/{pid}/fd") as files:
            for file in files:
                with suppress(OSError):
                    if (ends := sockets.get(os.readlink(file.path))) is not None:  # noqa: PTH115 - thousands a second
                        found[ends] = name
        if len(found) == len(sockets):
            break
    return found


@dataclass
class Owners:
    """Answers many questions by one look. `pids` gives the processes that count, and their names."""

    pids: Callable[[], Mapping[int, str]]
    _asked: dict[Ends, None] = field(default_factory=dict)
    _looking: bool = False
    _known: dict[Ends, str | None] = field(default_factory=dict)
    _answered: trio.Event = field(default_factory=trio.Event)

    async def of(self, ends: Ends) -> str | None:
        """The name of whoever has dialled; None if it is none of these processes."""
        try:
            while ends not in self._known:
                self._asked[ends] = None
                if self._looking:
                    await self._answered.wait()
                else:
                    await self._look()
            return self._known[ends]
        finally:
            self._known.pop(ends, None)

    async def _look(self) -> None:
        wanted, self._asked = tuple(self._asked), {}
        self._looking = True
        try:
            found = await trio.to_thread.run_sync(holders, wanted, dict(self.pids()))
            self._known.update({ends: found.get(ends) for ends in wanted})
        finally:
            self._looking = False
            self._answered.set()
            self._answered = trio.Event()
