"""A LAN of network namespaces, joined by a veth pair. Linux, and root."""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self, TypeVar

import pytest
import trio

_CLONE_NEWNET: Final = 0x40000000  # sched.h


@dataclass(frozen=True)
class Host:
    """A machine of the LAN."""

    namespace: str
    address: str

    def command(self, *arguments: str) -> list[str]:
        """What runs it there."""
        return ["ip", "netns", "exec", self.namespace, *arguments]

    def waypost(self, *arguments: str) -> list[str]:
        return self.command(sys.executable, "-m", "waypost", *arguments)


@contextmanager
def lan() -> Iterator[tuple[Host, Host]]:
    """Two machines on one network that knows no name service. Skips the test where that cannot be had."""
    if sys.platform != "linux" or os.geteuid() != 0 or shutil.which("ip") is None:
        pytest.skip("network namespaces need Linux, root and iproute2")
    mark = f"{os.getpid() % 100_000}"
    hosts = tuple(Host(f"waypost-{letter}{mark}", f"10.77.7.{number}") for number, letter in enumerate("ab", 1))
    try:
        try:
            _ip("netns", "add", hosts[0].namespace)
            _ip("netns", "add", hosts[1].namespace)
            names = f"wa{mark}", f"wb{mark}"
            _ip("link", "add", names[0], "type", "veth", "peer", "name", names[1])
            for host, name in zip(hosts, names, strict=True):
                _ip("link", "set", name, "netns", host.namespace)
                inside = ("-n", host.namespace)
                _ip(*inside, "link", "set", "lo", "up")
                _ip(*inside, "address", "add", f"{host.address}/24", "dev", name)
                _ip(*inside, "link", "set", name, "up")
                # As the router of a home would be; multicast goes this way as well.
                _ip(*inside, "route", "add", "default", "via", "10.77.7.254", "dev", name)
        except subprocess.CalledProcessError as error:
            pytest.skip(f"no network namespaces here: {error.stderr.strip()}")
        yield hosts[0], hosts[1]
    finally:
        for host in hosts:
            # Its end of the pair goes with it, and so does the other.
            with suppress(subprocess.CalledProcessError):
                _ip("netns", "delete", host.namespace)


class Starting:
    """A node that is starting on a host."""

    def __init__(self, host: Host, state: Path) -> None:
        self._log = state / "log"
        readable, writable = os.pipe()
        command = host.waypost("run", "--state", str(state), "--ready-fd", str(writable))
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(command, pass_fds=[writable], stderr=log)
        os.close(writable)
        self._ready = os.fdopen(readable)

    def wait(self) -> None:
        """Until it is ready."""
        assert self._ready.readline(), self._log.read_text()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._ready.close()
        self._process.terminate()
        try:
            self._process.wait(20)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


T = TypeVar("T")


async def on(host: Host, work: Callable[[], Awaitable[T]]) -> T:
    """Run it in a thread that lives on that host, with a loop of its own: as an app there, but without its start."""

    def live() -> T:
        with Path("/run/netns", host.namespace).open("rb") as namespace:
            if ctypes.CDLL(None, use_errno=True).setns(namespace.fileno(), _CLONE_NEWNET):
                raise OSError(ctypes.get_errno(), "setns")
        return trio.run(work)

    # A thread of its own: trio's would be used again for other work.
    with ThreadPoolExecutor(1) as thread:
        return await trio.to_thread.run_sync(lambda: thread.submit(live).result())


def _ip(*arguments: str) -> None:
    run(["ip", *arguments])


def run(command: Sequence[str]) -> str:
    """Its output. Raises CalledProcessError."""
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout
