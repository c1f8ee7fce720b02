"""What an older version has left opens, and keeps its mail."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import trio
from tests.data.old import DATA, VERSIONS, Old

from waypost.client import connect
from waypost.errors import Code, LocalError

PROFILES = ("alice", "carol", "bob")
#: For all mail to arrive, on a busy machine too.
ARRIVE_S = 120.0


@pytest.fixture(params=VERSIONS)
def old(request: pytest.FixtureRequest, tmp_path: Path) -> Old:
    return Old(request.param, tmp_path)


def only(found: dict[str, object], *names: str) -> dict[str, object]:
    return {name: found[name] for name in names}


def test_the_fixtures_are_small() -> None:
    sizes = {path.name: path.stat().st_size for path in DATA.iterdir() if path.is_file()}
    assert VERSIONS
    assert sum(sizes.values()) < 300 * 1024, sizes


# ── a node ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_node_opens_its_state_and_says_the_same_of_it(old: Old) -> None:
    with old.node("birdy.local"):
        for what, verb, names in (
            ("users", ("user", "list"), ("address", "devices", "reach", "providers", "effective", "waiting")),
            ("peers", ("peers",), ("provider", "key", "fingerprint", "trust", "policy")),
        ):
            said, says = old.told[what][what], old.ask("birdy.local", *verb)[what]
            assert [only(one, *names) for one in says] == [only(one, *names) for one in said]
        [said], [says] = old.told["queue"]["queues"], old.ask("birdy.local", "queue")["queues"]
        assert only(says, "provider", "waiting", "waiting_bytes") == only(said, "provider", "waiting", "waiting_bytes")


def test_a_node_tells_where_each_message_was(old: Old) -> None:
    # One message of each fate.
    fates = {tuple(row["event"] for row in said["rows"]): said for said in old.told["why"]}
    assert {event for fate in fates for event in fate} >= {"accepted", "held", "deferred", "delivered"}
    with old.node("birdy.local"):
        for said in fates.values():
            says = old.ask("birdy.local", "why", said["id"])
            assert says["rows"] == said["rows"]
            assert only(says, "id", "state", "code") == only(said, "id", "state", "code")


# ── a profile ───────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("who", PROFILES)
async def test_a_profile_keeps_journal_pins_and_what_it_has_fetched(old: Old, who: str) -> None:
    """No node runs: all of this is in the profile."""
    async with connect(old.where / who, old.passphrase(who), parts=old.parts) as me:
        for id_, said in old.told["journal"][who].items():
            history = await (await me.sent(id_)).history()
            assert [[status.state.value, status.at_ms, status.code] for status in history][: len(said)] == said
        for address, digits in old.told["safety"][who].items():
            assert await me.safety_number(address) == digits
        shown = [(message.text, message.error) async for message in me.inbox(follow=False)]
    assert shown == [(text, None) for text in old.told["unread"][who]]


async def test_a_profile_stays_locked(old: Old) -> None:
    for wrong in (None, "another passphrase"):
        with pytest.raises(LocalError) as caught:
            async with connect(old.where / "carol", wrong, parts=old.parts):
                pass
        assert caught.value.code is Code.WRONG_PASSPHRASE


# ── all together ────────────────────────────────────────────────────────────────────────────────────────────────────


async def show(old: Old, who: str, texts: list[str]) -> None:
    found = await trio.to_thread.run_sync(old.inbox, who, 2.0)
    assert [message["error"] for message in found] == [None] * len(found)
    texts += [message["text"] for message in found]


async def test_everything_that_waits_arrives_once(old: Old) -> None:
    told = old.told
    wanted = {
        who: sorted(told["unread"].get(who, []) + told["waiting"].get(who, []) + told["unsent"].get(who, []))
        for who in ("alice", "carol", "bob", "eve")
    }
    with old.node("birdy.local"), old.node("finch.local"):
        # eve has been written to before she had keys; dora comes with an invite that was waiting.
        old.join("eve", old.ask("finch.local", "user", "add", "eve")["invite"])
        old.join("dora", old.invite())
        shown: dict[str, list[str]] = {who: [] for who in wanted}
        with trio.fail_after(ARRIVE_S):
            while any(len(shown[who]) < len(wanted[who]) for who in wanted):
                async with trio.open_nursery() as nursery:
                    for who, texts in shown.items():
                        nursery.start_soon(show, old, who, texts)
        assert {who: sorted(texts) for who, texts in shown.items()} == wanted
        for who in PROFILES:
            async with connect(old.where / who, old.passphrase(who), parts=old.parts) as me:
                with trio.fail_after(ARRIVE_S):
                    for id_ in told["journal"][who]:
                        await (await me.sent(id_)).delivered()
                assert [message.text async for message in me.inbox(follow=False)] == []


def test_the_clock_of_child_processes_is_the_one_of_then(old: Old) -> None:
    """Otherwise the tests above would fail once its mail has expired."""
    command = [sys.executable, "-c", "import time; print(time.time_ns() // 1_000_000, int(time.time() * 1000))"]
    said = subprocess.run(command, env=old.environment(), capture_output=True, text=True, check=True).stdout.split()
    assert all(0 <= old.wall_ms() - int(ms) < 60_000 for ms in said)
