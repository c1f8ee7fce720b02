"""The process of a node: starts it, tells that it is ready, and ends it in good order."""

from __future__ import annotations

import gc
import json
import os
import resource
import signal
import sys
from contextlib import suppress
from functools import partial
from typing import Any, Final

import structlog
import trio

from waypost import __version__
from waypost.crypto.keys import key_text
from waypost.daemon import admin_socket, log
from waypost.daemon.build import Built, built
from waypost.daemon.plan import Plan
from waypost.daemon.state import StateDir, announced, hold
from waypost.protocol.operator import Request
from waypost.relay.operator import answer

#: For the answer to whoever asked the node to stop.
_LAST_ANSWER_S: Final = 0.1

_log = structlog.get_logger("waypost")


def run_node(state: StateDir, plan: Plan, *, ready_fd: int | None = None) -> int:
    """Run the node on that state directory until it is told to stop; returns the exit code.

    Raises LocalError: STATE_IN_USE, STATE_DAMAGED, STATE_TOO_NEW, CANNOT_LISTEN.
    """
    os.umask(0o077)
    with hold(state):
        log.configure(plan.log_level, plan.log_format)
        sys.setswitchinterval(plan.switch_interval)
        _raise_file_limit()
        trio.run(_main, state, plan, ready_fd)
    return 0


def _raise_file_limit() -> None:
    """Each link is a file, and the usual soft limit of 1,024 is left over from `select`."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        with suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


async def _main(state: StateDir, plan: Plan, ready_fd: int | None) -> None:
    async with built(state, plan) as node, trio.open_nursery() as around:
        around.start_soon(_obey_signals, node)
        administration = admin_socket.listen(state.socket)
        async with trio.open_nursery() as nursery:
            await nursery.start(node.relay.run)
            around.start_soon(node.serve)
            around.start_soon(admin_socket.serve, administration, state.socket, Request, partial(answer, node.relay))
            # What starting up has made stays for good: the collector need not look at it again and again.
            gc.collect()
            gc.freeze()
            with announced(state, _facts(node)):
                _log.info("node ready", provider=plan.provider, ports=node.ports, version=__version__)
                _tell_ready(ready_fd, node)
                await node.relay.stopping.wait()
        # The relay has said goodbye to everyone.
        await trio.sleep(_LAST_ANSWER_S)
        around.cancel_scope.cancel()
    _log.info("node stopped", provider=plan.provider)


async def _obey_signals(node: Built) -> None:
    """The first asks the node to stop; a second ends the process at once, as the signal would by itself."""
    with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as arrived:
        stopping = False
        async for number in arrived:
            if stopping:
                signal.signal(number, signal.SIG_DFL)
                os.kill(os.getpid(), number)
            stopping = True
            _log.info("node stops", signal=signal.Signals(number).name)
            await node.relay.stop()


def _facts(node: Built) -> dict[str, Any]:
    relay = node.relay
    return {
        "provider": relay.settings.provider,
        "key": key_text(relay.key.public),
        "ports": node.ports,
        "endpoints": [[endpoint.host, endpoint.port] for endpoint in relay.endpoints],
    }


def _tell_ready(descriptor: int | None, node: Built) -> None:
    if descriptor is None:
        return
    line = json.dumps({"ready": True, "pid": os.getpid(), **_facts(node)}) + "\n"
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(line)
    except OSError as error:
        # Whoever wanted to know is gone; the node is of use without them.
        _log.warning("nobody takes the ready line", reason=error.strerror)
