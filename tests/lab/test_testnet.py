"""Networks for app developers' tests: names, faults as methods, and what can be asked."""

import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

import anyio
import pytest
import trio
import trio.testing

import waypost_lab as lab
from waypost.client import SentState
from waypost.crypto.keys import SigningKey
from waypost.errors import Code, LocalError, Refused
from waypost.ids import Provider
from waypost.relay.settings import Quotas
from waypost_lab.pytest_plugin import MakeNetwork
from waypost_lab.timeline import AnyEvent, Fault, Mended, NodeState

Autojump = trio.testing.MockClock


async def test_a_conversation(waypost_network: MakeNetwork, autojump_clock: Autojump, tmp_path: Path) -> None:
    async with waypost_network("birdy", "finch.example") as net:
        alice, bob = await net.client("alice@birdy"), await net.client("bob@finch.example")
        sent = await alice.send(bob.address, "hi")
        assert (await anext(bob.inbox())).text == "hi"
        await sent.delivered()
        found = await net.why(sent.id)
        assert {name: reply.state for name, reply in found.items()} == {
            "birdy": "delivered",
            "finch.example": "delivered",
        }
        assert await net.client("alice@birdy") is alice
        assert await net.keys_left("bob@finch.example") == 99
        assert (alice.address, net.linked("birdy", "finch.example")) == ("alice@birdy.local", True)
    assert {path.name for path in (tmp_path / "waypost").iterdir()} == {"alice@birdy.local", "bob@finch.example"}


def test_a_network_runs_in_virtual_time_from_a_seed() -> None:
    async def main(seed: int) -> list[float]:
        times = []
        async with lab.network("birdy", "finch", seed=seed) as net:
            alice, bob = await net.client("alice@birdy"), await net.client("bob@finch")
            net.slow("birdy", "finch", 0.1, jitter_s=0.1)
            for text in ("one", "two"):
                await (await alice.send(bob.address, text)).delivered()
                times.append(trio.current_time())
            await trio.sleep(3_600)
        return times

    first = lab.run(main, 1, seed=1)
    assert lab.run(main, 1, seed=1) == first
    assert lab.run(main, 2, seed=2) != first


def test_a_network_runs_in_real_time() -> None:
    async def main() -> None:
        async with lab.network("birdy") as net:
            alice, carol = await net.client("alice@birdy"), await net.client("carol@birdy")
            with trio.fail_after(10):
                await (await alice.send(carol.address, "hi")).delivered()

    trio.run(main)


def test_under_asyncio_it_says_what_to_do() -> None:
    async def main() -> None:
        async with lab.network("birdy"):
            pass

    with pytest.raises(LocalError, match="waypost lab up") as caught:
        anyio.run(main, backend="asyncio")
    assert caught.value.code is Code.UNSUPPORTED


async def test_an_error_comes_out_as_it_is(waypost_network: MakeNetwork, autojump_clock: Autojump) -> None:
    with pytest.raises(ZeroDivisionError):  # noqa: PT012 - the block is what it is about
        async with waypost_network("birdy") as net:
            await net.client("alice@birdy")
            raise ZeroDivisionError


async def test_machines_can_fail(waypost_network: MakeNetwork, autojump_clock: Autojump) -> None:
    events: list[AnyEvent] = []
    async with waypost_network("birdy", "finch") as net:
        net.on_event = events.append
        alice, bob = await net.client("alice@birdy"), await net.client("bob@finch")
        await (await alice.send(bob.address, "0")).delivered()
        fail = [net.crash, net.lose_power]
        for number in range(1, 5):
            if number % 3:
                fail[number % 2]("finch")
            else:
                await net.stop("finch")
            sent = await alice.send(bob.address, str(number))
            await trio.sleep(30)
            assert await net.waiting("birdy", "finch") == 1
            await net.start("finch")
            await sent.delivered()
        inbox = bob.inbox(follow=False)
        assert [message.text async for message in inbox] == ["0", "1", "2", "3", "4"]
        await net.leave("finch")
        late = await alice.send(bob.address, "late")
        with pytest.raises(Refused) as refused:
            await late.delivered()
        assert refused.value.code is Code.PEER_GONE
        states = [event.state for event in events if isinstance(event, NodeState)]
        assert states == ["down", "up"] * 4 + ["gone"]


async def test_paths_can_fail(waypost_network: MakeNetwork, autojump_clock: Autojump) -> None:
    events: list[AnyEvent] = []
    async with waypost_network("birdy", "finch") as net:
        net.on_event = events.append
        alice, bob = await net.client("alice@birdy"), await net.client("bob@finch")
        await (await alice.send(bob.address, "hi")).delivered()
        net.cut("birdy", "finch", one_way=True)
        sent = await alice.send(bob.address, "one way")
        assert (await sent.reached(SentState.WAITING)).code == Code.SILENT.number
        net.mend("birdy", "finch")
        await sent.delivered()
        net.cut("alice@birdy", "birdy")
        await net.until(lambda: not alice.is_connected, 90)
        stuck = await alice.send(bob.address, "my phone is offline")
        net.heal()
        await stuck.delivered()
        net.slow("birdy", "finch", 2.0)
        net.loss("birdy", "finch", 0.3)
        began = trio.current_time()
        await (await alice.send(bob.address, "slow")).delivered()
        assert trio.current_time() - began >= 4
        net.heal("birdy", "finch")
        faults = [event.id for event in events if isinstance(event, Fault)]
        assert len(faults) == 7
        assert {event.id for event in events if isinstance(event, Mended)} == set(faults)


async def test_disks_and_clocks_can_fail(waypost_network: MakeNetwork, autojump_clock: Autojump) -> None:
    async with waypost_network("birdy", "finch") as net:
        alice, bob = await net.client("alice@birdy"), await net.client("bob@finch")
        await (await alice.send(bob.address, "hi")).delivered()
        net.fill_disk("finch")
        sent = await alice.send(bob.address, "too much")
        await trio.sleep(10)
        assert await net.waiting("birdy", "finch") == 1
        net.free_disk("finch")
        await sent.delivered()
        net.slow_disk("finch", 1.0)
        began = trio.current_time()
        await (await alice.send(bob.address, "slowly")).delivered()
        assert trio.current_time() - began > 1
        net.slow_disk("finch")
        net.skew("alice@birdy", minutes=7)
        with pytest.raises(Refused) as refused:
            await (await alice.send(bob.address, "from the future")).delivered()
        assert refused.value.code is Code.FROM_FUTURE


async def test_a_backup_and_a_lost_key(waypost_network: MakeNetwork, autojump_clock: Autojump) -> None:
    async with waypost_network("birdy", "finch") as net:
        alice, bob = await net.client("alice@birdy"), await net.client("bob@finch")
        await (await alice.send(bob.address, "hi")).delivered()
        with pytest.raises(LocalError):
            net.restore("finch")
        net.backup("finch")
        await net.stop("finch")
        net.restore("finch")
        await net.start("finch")
        await (await alice.send(bob.address, "after")).delivered()
        # Bob's app puts new keys into the restored node at its own pace; what was delivered did not wait for that.
        with trio.fail_after(5):
            while await net.keys_left("bob@finch") != 100:  # noqa: ASYNC110 - no event tells of it
                await trio.sleep(0.01)
        await net.stop("finch")
        net.lose_key("finch")
        await net.start("finch")
        await net.until(lambda: bob.trouble is not None and bob.trouble.code is Code.WRONG_PEER, 120)
        await net.renew("bob@finch")
        net.pin("birdy", "finch")
        again = await net.client("bob@finch")
        sent = await alice.send(again.address, "are you bob?", accept_new_key=True)
        await sent.delivered()


async def test_users_come_and_go(waypost_network: MakeNetwork, autojump_clock: Autojump) -> None:
    async with waypost_network("birdy", "finch") as net:
        alice, bob = await net.client("alice@birdy"), await net.client("bob@finch")
        await net.close("bob@finch")
        sent = await alice.send(bob.address, "when you are back")
        await sent.reached(SentState.HELD)
        assert await net.waiting("finch", "bob@finch") == 1
        again = await net.client("bob@finch")
        assert again is not bob
        await sent.delivered()
        await net.kill("bob@finch")
        assert [message.text async for message in (await net.client("bob@finch")).inbox(follow=False)] == [
            "when you are back"
        ]
        await net.reach("bob@finch", "none")
        with pytest.raises(Refused):
            await (await alice.send("bob@finch.local", "no more", accept_new_key=True)).delivered()
        dora, carl = await net.app("dora@birdy"), await net.app("carl@finch")
        letter = dora.write("carl@finch.local", b"light")
        await dora.until(lambda: letter.id in dora.profile.fates)
        assert carl.profile.shown == {letter.id: 1}


async def test_wrong_names_are_said(waypost_network: MakeNetwork, autojump_clock: Autojump) -> None:
    async with waypost_network(
        "birdy", lab.Make(Provider("finch"), lab_key(), quotas=Quotas(mailbox_envelopes=3))
    ) as net:
        assert net.machine("finch").make.quotas.mailbox_envelopes == 3
        await net.app("dora@birdy")
        await net.client("alice@birdy")
        wrong: list[Callable[[], Awaitable[object]]] = [
            lambda: net.node("birdy"),
            lambda: net.client("alice@heron"),
            lambda: net.client("alice"),
            lambda: net.client("dora@birdy"),
            lambda: net.app("alice@birdy"),
            lambda: net.node("Not A Name"),
            lambda: net.reach("alice@birdy", "some"),
        ]
        for call in wrong:
            with pytest.raises(LocalError):
                await call()
        faults: list[Callable[[], None]] = [
            lambda: net.cut("birdy", "heron"),
            lambda: net.loss("birdy", "finch", 2),
            lambda: net.lose_key("birdy"),
        ]
        for bad in faults:
            with pytest.raises(LocalError):
                bad()
        net.crash("finch")
        with pytest.raises(LocalError) as caught:
            await net.client("bob@finch")
        assert caught.value.code is Code.NOT_RUNNING


def lab_key() -> SigningKey:
    from waypost_lab.profile import key_of

    return key_of("finch")


def test_the_plugin_costs_other_test_runs_nothing(tmp_path: Path) -> None:
    (tmp_path / "test_other.py").write_text(
        "import sys\n\n\ndef test_it():\n    assert 'waypost_lab.pytest_plugin' in sys.modules\n"
        "    assert not {'trio', 'waypost.relay', 'waypost_lab.testnet', 'msgspec'} & set(sys.modules)\n"
    )
    command = [
        sys.executable,
        "-W",
        "error",
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:trio",
        "-p",
        "no:anyio",
        "-p",
        "no:hypothesispytest",
    ]
    run = subprocess.run(
        [*command, "-p", "no:cacheprovider", str(tmp_path)], capture_output=True, text=True, check=False, cwd=tmp_path
    )
    assert run.returncode == 0, run.stdout + run.stderr
