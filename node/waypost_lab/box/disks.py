"""A disk that is full for a while: really, on a small file system of the node's own, or by a quota."""

from __future__ import annotations

import os
import subprocess
import sys
from abc import ABC, abstractmethod
from pathlib import Path
from typing import TYPE_CHECKING

import trio

if TYPE_CHECKING:
    from waypost_lab.box.box import Box

_SIZE_MIB = 64
_BLOCK = bytes(64 * 1024)


class BoxDisk(ABC):
    """Of one node."""

    kind: str

    @abstractmethod
    async def fill(self) -> None:
        """From now on there is no room on it."""

    @abstractmethod
    async def free(self) -> None:
        """There is room again."""

    @abstractmethod
    def close(self) -> None:
        """Nothing is left of it."""


class SmallDisk(BoxDisk):
    """The state directory is a file system of 64 MiB, which something else fills to the last byte."""

    kind = "tmpfs"

    def __init__(self, where: Path) -> None:
        """Raises OSError where it cannot be mounted: that needs Linux and root. Before the node's first start."""
        if sys.platform != "linux" or os.geteuid() != 0:
            raise PermissionError("a file system of its own needs Linux and root")
        where.mkdir(mode=0o700, parents=True)
        command = ["/usr/bin/env", "mount", "-t", "tmpfs", "-o", f"size={_SIZE_MIB}m,mode=0700", "tmpfs", str(where)]
        mounted = subprocess.run(command, capture_output=True, text=True, check=False)
        if mounted.returncode:
            where.rmdir()
            raise OSError(mounted.stderr.strip())
        self._where = where
        self._ballast = where / "ballast"

    async def fill(self) -> None:
        await trio.to_thread.run_sync(self._fill)

    def _fill(self) -> None:
        with self._ballast.open("wb", buffering=0) as file:
            try:
                while file.write(_BLOCK):
                    pass
            except OSError:
                return  # not a byte is free any more

    async def free(self) -> None:
        await trio.to_thread.run_sync(self._ballast.unlink)

    def close(self) -> None:
        subprocess.run(["/usr/bin/env", "umount", "--lazy", str(self._where)], check=True)


class Quota(BoxDisk):
    """The node is started anew with a database that may not grow (below 512 KiB a little); then once more, without.

    Mail that stays fills it. What is delivered makes room for other mail, so it is full now and then, not all the time.
    """

    kind = "quota"

    def __init__(self, box: Box, node: str) -> None:
        self._box = box
        self._node = node
        self._config = box.find(node).planned.config

    async def fill(self) -> None:
        # SQLite does not go below what there is already, nor the node below 64 pages.
        await self._again(f"{self._config}storage_max_bytes = 1\n")

    async def free(self) -> None:
        await self._again(self._config)

    def close(self) -> None:
        self._box.reconfigure(self._node, self._config)

    async def _again(self, config: str) -> None:
        self._box.reconfigure(self._node, config)
        await self._box.stop(self._node)
        await self._box.start(self._node)
