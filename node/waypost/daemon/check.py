"""Whether a node can run, and be reached: everything that is wrong, at once, each with its remedy."""

from __future__ import annotations

import secrets
import shutil
import socket
import sqlite3
import stat
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import Enum
from typing import Any, Final

import trio

from waypost.clock import DAY_MS
from waypost.crypto.certificate import private_key_pem, self_signed
from waypost.crypto.keys import SigningKey
from waypost.daemon import config as configuration
from waypost.daemon.config import BadConfig, Config
from waypost.daemon.plan import At
from waypost.daemon.state import StateDir, is_held, key_trouble, read_seed
from waypost.discovery.dns import DnsLookup
from waypost.discovery.mdns import MdnsSource
from waypost.discovery.txt import dns_value
from waypost.errors import Code, LocalError, Refused
from waypost.ids import is_lan
from waypost.limits import DEFAULT_PORT, DNS_TIMEOUT_S, MIB
from waypost.links.errors import LinkBroken
from waypost.links.tcp import connect
from waypost.links.tls import TlsConfig
from waypost.storage.sqlite import schema

#: With less than that the node would soon refuse new messages.
_DISK_MIN_BYTES: Final = 200 * MIB
#: Certificates, records and expiry all depend on the date; this code did not exist before.
_NOT_BEFORE: Final = datetime(2025, 1, 1, tzinfo=UTC).timestamp()
_MTIME_SLACK_S: Final = 300.0
#: `quick_check` reads the whole file.
_CHECKED_MAX_BYTES: Final = 1024 * MIB
_PEER_TIMEOUT_S: Final = 5.0


class Severity(Enum):
    OK = "ok"
    NOTE = "note"  #: worth knowing; nothing has to be done
    FAULT = "fault"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at."""

    subject: str
    state: Severity
    detail: str
    remedy: str = ""


def _ok(subject: str, detail: str) -> Finding:
    return Finding(subject, Severity.OK, detail)


def _fault(subject: str, detail: str, remedy: str) -> Finding:
    return Finding(subject, Severity.FAULT, detail, remedy)


def check(state: StateDir) -> list[Finding]:
    """Look at everything. Takes some seconds, since it tries to reach things."""
    if not state.path.is_dir():
        return [_fault("state directory", f"{state.path} is not there", Code.STATE_MISSING.remedy)]
    found = [*_directory(state), *_key(state)]
    config: Config | None = None
    try:
        config = configuration.load(state.config)
        found.append(_ok("configuration", f"{state.config} has no faults"))
    except BadConfig as error:
        found += [_fault(f"configuration: {fault.key}", _what(fault), fault.remedy) for fault in error.faults]
    except LocalError as error:
        found.append(_fault("configuration", f"{state.config} is missing", error.code.remedy))
    found += [*_clock(state), *_disk(state), *_database(state)]
    if config is not None:
        found += _ports(state, config)
        found += _network(state, config)
    return found


def _what(fault: configuration.Fault) -> str:
    return f"{fault.value} is {fault.problem}" if fault.value else fault.problem


def _directory(state: StateDir) -> Iterator[Finding]:
    mode = stat.S_IMODE(state.path.stat().st_mode)
    if mode & (stat.S_IRWXG | stat.S_IRWXO):
        yield _fault(
            "state directory", f"others may look into {state.path} (mode {mode:04o})", f"chmod 700 {state.path}"
        )
    else:
        running = "a node runs on it" if is_held(state) else "no node runs on it"
        yield _ok("state directory", f"{state.path}, {running}")


def _key(state: StateDir) -> Iterator[Finding]:
    trouble = key_trouble(state)
    if trouble is None:
        yield _ok("node key", f"{state.key} is its owner's alone")
    elif trouble.code is Code.STATE_MISSING:
        yield _fault("node key", trouble.detail, "Restore it from a backup. A new key would make this a different node")
    else:
        detail, _, remedy = trouble.detail.partition("; run: ")
        yield _fault("node key", detail, remedy or trouble.code.remedy)


def _clock(state: StateDir) -> Iterator[Finding]:
    now = time.time()
    paths = [path for path in (state.database, state.config, state.key) if path.exists()]
    newest = max((path.stat().st_mtime for path in paths), default=0.0)
    shown = datetime.fromtimestamp(now, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    if now < _NOT_BEFORE:
        yield _fault("clock", f"it says {shown}", "Set the clock, by NTP")
    elif newest > now + _MTIME_SLACK_S:
        yield _fault("clock", f"it says {shown}, which is before the state was last written", "Set the clock, by NTP")
    else:
        yield _ok("clock", shown)


def _disk(state: StateDir) -> Iterator[Finding]:
    free = shutil.disk_usage(state.path).free
    if free < _DISK_MIN_BYTES:
        yield _fault(
            "disk", f"{free // MIB} MiB are free", f"Free at least {_DISK_MIN_BYTES // MIB} MiB for {state.path}"
        )
    else:
        yield _ok("disk", f"{free // MIB} MiB are free")


def _database(state: StateDir) -> Iterator[Finding]:
    if not state.database.exists():
        yield Finding("database", Severity.NOTE, "none yet; the first run makes it")
        return
    newest = max(schema.scripts())
    try:
        with closing(sqlite3.connect(f"file:{state.database}?mode=ro", uri=True, timeout=2)) as opened:
            version = schema.version(opened)
            small = state.database.stat().st_size <= _CHECKED_MAX_BYTES
            damage = [row[0] for row in opened.execute("PRAGMA quick_check(1)")] if small else ["ok"]
    except (sqlite3.Error, LocalError) as error:
        yield _fault("database", f"{state.database}: {getattr(error, 'detail', error)}", Code.STATE_DAMAGED.remedy)
        return
    if version > newest:
        yield _fault("database", f"schema {version}, this version knows up to {newest}", Code.STATE_TOO_NEW.remedy)
    elif damage != ["ok"]:
        yield _fault("database", f"{state.database} is damaged: {damage[0]}", Code.STATE_DAMAGED.remedy)
    else:
        yield _ok("database", f"schema {version}")


def _ports(state: StateDir, config: Config) -> Iterator[Finding]:
    for at in config.listen or [At("0.0.0.0", DEFAULT_PORT)]:  # noqa: S104 - the default
        family = socket.AF_INET6 if ":" in at.host else socket.AF_INET
        try:
            with socket.socket(family, socket.SOCK_STREAM) as tried:
                tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                if family == socket.AF_INET6:
                    tried.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
                tried.bind((at.host, at.port))
        except OSError as error:
            if is_held(state):
                yield _ok(f"listen {at}", "in use, presumably by the node that runs here")
            else:
                reason = (error.strerror or str(error)).lower()
                yield _fault(f"listen {at}", reason, Code.CANNOT_LISTEN.remedy)
        else:
            yield _ok(f"listen {at}", "nothing listens there" if is_held(state) and at.port else "free")


def _network(state: StateDir, config: Config) -> list[Finding]:
    found: list[Finding] = []
    trio.run(_network_checks, state, config, found)
    return found


async def _network_checks(state: StateDir, config: Config, found: list[Finding]) -> None:
    async def note(look: Callable[..., Awaitable[Finding]], *about: Any) -> None:
        found.append(await look(*about))

    async with trio.open_nursery() as nursery:
        for at in config.announce:
            nursery.start_soon(note, _resolvable, at)
        if config.uses_mdns:
            nursery.start_soon(note, _multicast, config)
        if not is_lan(config.provider):
            nursery.start_soon(note, _in_dns, state, config)
        tls = _throwaway_tls()
        for peer in config.peers:
            for at in peer.endpoint:
                nursery.start_soon(note, _dialable, peer.provider, at, tls)
    found.sort(key=lambda finding: finding.subject)


async def _resolvable(at: At) -> Finding:
    subject = f"announce {at}"
    try:
        with trio.fail_after(DNS_TIMEOUT_S):
            addresses = await trio.socket.getaddrinfo(at.host, at.port, type=socket.SOCK_STREAM)
    except trio.TooSlowError:
        return _fault(subject, "the name service does not answer", "Check the DNS server of this machine")
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        return _fault(subject, f"does not resolve ({reason})", "Add the name to the DNS, or announce an address")
    return _ok(subject, ", ".join(sorted({str(address[4][0]) for address in addresses})))


async def _multicast(config: Config) -> Finding:
    source = MdnsSource(None, configuration.plan(config).mdns_interfaces)
    try:
        await source.start()
    except LocalError as error:
        remedy = "Write peers into the configuration instead, and set mdns.enabled = false"
        return _fault("mDNS", error.detail, remedy)
    finally:
        await source.aclose()
    return _ok("mDNS", "multicast can be had")


async def _in_dns(state: StateDir, config: Config) -> Finding:
    subject = f"DNS of {config.provider}"
    try:
        own = SigningKey(read_seed(state)).public
        sighting = await DnsLookup().look_up(config.provider)
    except Refused as error:
        return _fault(subject, error.detail, "Check the DNS server of this machine")
    except LocalError as error:
        return Finding(subject, Severity.NOTE, error.detail)
    record = f'_waypost.{config.provider}. TXT "{dns_value(own)}"'
    if sighting is None:
        where = f"Add where the node is (_waypost._tcp.{config.provider}. SRV, or an address) and {record}"
        return _fault(subject, "says nothing of this node", where)
    if sighting.key is None:
        return _fault(subject, "does not name the node key, so careful peers refuse it", f"Add {record}")
    if sighting.key != own:
        return _fault(subject, "names another key than this node's", f"Replace it: {record}")
    places = ", ".join(f"{endpoint.host}:{endpoint.port}" for endpoint in sighting.endpoints)
    return _ok(subject, f"names this node's key, and {places}")


async def _dialable(provider: str, at: At, tls: TlsConfig) -> Finding:
    subject = f"peer {provider} at {at}"
    try:
        with trio.fail_after(_PEER_TIMEOUT_S):
            stream = await connect(at.host, at.port, tls)
            await stream.aclose()
    except trio.TooSlowError:
        return _fault(subject, "no answer in time", "Check the address, and the firewalls between")
    except LinkBroken as error:
        return _fault(subject, error.detail, "Check the address, and that the peer's node runs")
    return _ok(subject, "answers as a Waypost node")


def _throwaway_tls() -> TlsConfig:
    """For a connection that proves nothing and ends before it would have to."""
    key = SigningKey(secrets.token_bytes(32))
    now_ms = int(time.time() * 1000)
    certificate = self_signed(key, "check.invalid", now_ms - DAY_MS, now_ms + DAY_MS, secrets.randbits(120) + 1)
    return TlsConfig(certificate, private_key_pem(key))
