"""The checks of TLS find what they are there for: our relay behind real TLS that is wrong in one way."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest
import trio
from OpenSSL import SSL
from tests.lab.conformance.ground import JUDGED, named
from tests.relay.world import VirtualClock, World, world

from waypost.clock import DAY_MS, WallMs
from waypost.links import tcp
from waypost.links.tls import ALPN, TlsConfig
from waypost_lab.conformance import bench
from waypost_lab.conformance.check import Need, Verdict
from waypost_lab.conformance.meeting import TlsGround, throwaway_tls
from waypost_lab.conformance.residents import read_invites
from waypost_lab.conformance.run import Selection, judge

HOST = "127.0.0.1"
NEEDS = frozenset({Need.TLS, Need.PEOPLE, Need.LISTEN})

Change = Callable[[SSL.Context, bool], None]


class Ground(TlsGround):
    def wall_ms(self) -> WallMs:
        return VirtualClock().wall_ms()


def config(change: Change) -> TlsConfig:
    """A node's TLS, with each of its contexts changed; the second argument tells whether it dials."""
    now_ms = VirtualClock().wall_ms()
    made = throwaway_tls(now_ms - DAY_MS, now_ms + DAY_MS)
    for dials, context in made._contexts.items():
        change(context, dials)
    return made


@asynccontextmanager
async def behind(tls: TlsConfig, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[tuple[World, int]]:
    """A world whose node listens and dials by TLS."""
    async with world() as w:

        async def dial(host: str, port: int) -> object:
            return await tcp.connect(host, port, tls)

        monkeypatch.setattr(w.net, "dial", dial)
        node = await w.node(JUDGED)
        listeners = await tcp.listen(HOST, 0)
        w.nursery.start_soon(tcp.serve, listeners, node.relay.accept, tls)
        yield w, tcp.port_of(listeners)


async def verdict(check: str, tls: TlsConfig, monkeypatch: pytest.MonkeyPatch) -> tuple[Verdict, str]:
    async with behind(tls, monkeypatch) as (w, port):
        relay = w.nodes[JUDGED].relay
        guests = read_invites([await relay.add_user("alice"), await relay.add_user("bob")])
        with trio.fail_after(60):
            [result] = await judge(Ground(HOST, port, HOST), guests, Selection(named(check), 60.0, NEEDS))
        return result.verdict, result.reason


def old_versions(context: SSL.Context, _dials: bool) -> None:
    context.set_min_proto_version(SSL.TLS1_2_VERSION)


def any_protocol(context: SSL.Context, dials: bool) -> None:
    if not dials:
        context.set_alpn_select_callback(lambda _connection, offered: offered[0])


def asks_for_certificates(context: SSL.Context, dials: bool) -> None:
    if not dials:
        context.set_verify(SSL.VERIFY_PEER | SSL.VERIFY_FAIL_IF_NO_PEER_CERT, lambda *_: True)


def checks_certificates(context: SSL.Context, dials: bool) -> None:
    if dials:
        context.set_verify(SSL.VERIFY_PEER, lambda _c, _x, _e, _d, ok: bool(ok))


def resumes(context: SSL.Context, dials: bool) -> None:
    if not dials:
        context.set_session_cache_mode(SSL.SESS_CACHE_SERVER)
        context.set_session_id(secrets.token_bytes(8))


@pytest.mark.parametrize(
    ("change", "check"),
    [
        (old_versions, "tls_1_2"),
        (any_protocol, "another_alpn"),
        (asks_for_certificates, "no_client_certificate"),
        (checks_certificates, "any_certificate"),
        (resumes, "no_resumption"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
async def test_wrong_tls_is_found(change: Change, check: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench, "ARRIVAL_S", 2.0)
    found, _ = await verdict(check, config(change), monkeypatch)
    assert found is Verdict.FAILED


async def test_an_address_as_sni_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    tls = config(lambda _context, _dials: None)
    monkeypatch.setattr(tcp, "_is_ip", lambda _host: False)
    found, reason = await verdict("no_address_as_sni", tls, monkeypatch)
    assert (found, reason) == (Verdict.FAILED, f"SNI was {HOST.encode()!r}")


async def test_right_tls_passes(monkeypatch: pytest.MonkeyPatch) -> None:
    assert ALPN == b"waypost/1"
    for check in ("another_alpn", "any_certificate", "no_address_as_sni", "no_resumption"):
        with monkeypatch.context() as patch:
            tls = config(lambda _context, _dials: None)
            assert await verdict(check, tls, patch) == (Verdict.PASSED, "")
