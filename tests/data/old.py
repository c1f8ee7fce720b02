"""A copy of what an older version has left (see README.md), brought to life by the code of now on loopback."""

from __future__ import annotations

import base64
import json
import os
import signal
import subprocess
import sys
import tarfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgpack

from waypost.client import Parts

DATA = Path(__file__).parent
VERSIONS = sorted(path.name.removesuffix(".tar.xz") for path in DATA.glob("*.tar.xz"))
#: Nothing in it has expired then, and what was put off is due.
_LATER_MS = 2 * 3_600_000
#: Nobody listens there.
_NOWHERE = 1

Json = dict[str, Any]


class Old:
    """`told`: what the older version said of it (NAME.json)."""

    def __init__(self, version: str, where: Path) -> None:
        self.where = where
        self.told: Json = json.loads(DATA.joinpath(f"{version}.json").read_text("utf-8"))
        with tarfile.open(DATA / f"{version}.tar.xz") as archive:
            archive.extractall(where, filter="data")
        for path in where.iterdir():
            path.chmod(0o700)
        self._ahead_ns: int = (self.told["made_ms"] + _LATER_MS) * 1_000_000 - time.time_ns()
        self._ports = dict.fromkeys(self.told["ports"], _NOWHERE)

    def wall_ms(self) -> int:
        """Two hours after it was made."""
        return (time.time_ns() + self._ahead_ns) // 1_000_000

    @property
    def parts(self) -> Parts:
        """For an app in this process."""
        return Parts(wall_ms=self.wall_ms)

    def passphrase(self, who: str) -> str | None:
        found: str | None = self.told["passphrases"].get(who)
        return found

    # ── the command line ────────────────────────────────────────────────────────────────────────────────────────────

    def environment(self, who: str = "") -> dict[str, str]:
        secret = self.passphrase(who)
        clock = {"PYTHONPATH": str(DATA / "clock"), "TEST_CLOCK_AHEAD_NS": str(self._ahead_ns)}
        return {**os.environ, **clock, **({"WAYPOST_PASSPHRASE": secret} if secret else {})}

    def run(self, *verb: str, who: str = "") -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "waypost", *verb]
        return subprocess.run(
            command, env=self.environment(who), capture_output=True, text=True, check=False, timeout=120
        )

    def ask(self, node: str, *verb: str) -> Json:
        """What an operator sees with --json."""
        ran = self.run(*verb, "--state", str(self.where / node), "--json")
        assert ran.returncode == 0, ran.stderr
        found: Json = json.loads(ran.stdout)
        return found

    def inbox(self, who: str, wait_s: float) -> list[Json]:
        """What `waypost inbox --json` shows."""
        ran = self.run("inbox", "--profile", str(self.where / who), "--wait", str(wait_s), "--json", who=who)
        assert ran.returncode == 0, ran.stderr
        return [json.loads(line) for line in ran.stdout.splitlines()]

    def join(self, who: str, invite: str) -> None:
        ran = self.run("join", invite, "--profile", str(self.where / who))
        assert ran.returncode == 0, ran.stderr

    # ── nodes ───────────────────────────────────────────────────────────────────────────────────────────────────────

    @contextmanager
    def node(self, name: str) -> Iterator[None]:
        """It runs, at a port of its own; the profiles know which."""
        config = self.where / name / "waypost.toml"
        text = config.read_text()
        for node, port in self._ports.items():
            text = text.replace(f":{self.told['ports'][node]}", f":{0 if node == name else port}")
        config.write_text(text)
        reading, writing = os.pipe()
        command = [sys.executable, "-m", "waypost", "run", "--state", str(config.parent), "--ready-fd", str(writing)]
        with self.where.joinpath(f"{name}.log").open("wb") as log:
            process = subprocess.Popen(command, pass_fds=[writing], stderr=log, env=self.environment())
        os.close(writing)
        try:
            with os.fdopen(reading) as ready:
                line = ready.readline()
            assert line, self.where.joinpath(f"{name}.log").read_text()
            self._moved(name, json.loads(line)["ports"][0])
            yield
            process.send_signal(signal.SIGTERM)
            assert process.wait(30) == 0, self.where.joinpath(f"{name}.log").read_text()
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()

    def _moved(self, name: str, port: int) -> None:
        self._ports[name] = port
        for file in self.where.glob("*/account"):
            version, address, key, endpoints = msgpack.unpackb(file.read_bytes())
            if address.endswith(f"@{name}"):
                moved = [[host, port, *more] for host, _, *more in endpoints]
                file.write_bytes(msgpack.packb([version, address, key, moved]))

    def invite(self) -> str:
        """For dora of birdy.local, open since it was made."""
        body = self.told["invite"].removeprefix("waypost:")
        version, address, token, key, endpoints, expires_ms = msgpack.unpackb(
            base64.urlsafe_b64decode(body + "=" * (-len(body) % 4))
        )
        moved = [[host, self._ports["birdy.local"], *more] for host, _, *more in endpoints]
        packed = msgpack.packb([version, address, token, key, moved, expires_ms])
        return "waypost:" + base64.urlsafe_b64encode(packed).decode().rstrip("=")
