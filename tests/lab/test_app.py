"""The light app: what it sends, what it is told, and what it asks again."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import trio
import trio.testing

from waypost.errors import Code, Refused
from waypost.ids import Provider
from waypost.relay.settings import Quotas
from waypost_lab import Make, Network, network
from waypost_lab.app import App
from waypost_lab.profile import key_of, new_profile

Autojump = trio.testing.MockClock
DORA, CARL = "dora@birdy.local", "carl@finch.local"


@asynccontextmanager
async def pair() -> AsyncIterator[tuple[Network, App, App]]:
    async with network("birdy", Make(Provider("finch"), key_of("finch"), quotas=Quotas(mailbox_envelopes=2))) as net:
        yield net, await net.app("dora@birdy"), await net.app("carl@finch")


async def test_a_message_is_accepted_shown_and_delivered(autojump_clock: Autojump) -> None:
    async with pair() as (_, dora, carl):
        steps: list[tuple[str, str]] = []
        for app in (dora, carl):
            app.tell = lambda app, step, *_: steps.append((app.profile.address, step))
        letter = dora.write(CARL, b"hi")
        await dora.until(lambda: letter.id in dora.profile.fates)
        assert dora.profile.fates == {letter.id: 0}
        assert (dora.profile.unsent, dora.profile.accepted) == ({}, {letter.id})
        assert carl.profile.shown == {letter.id: 1}
        for step in ((DORA, "sent"), (DORA, "accepted"), (CARL, "shown"), (DORA, "delivered")):
            assert step in steps


async def test_what_is_refused_for_good_is_not_sent_again(autojump_clock: Autojump) -> None:
    async with pair() as (_, dora, _):
        letter = dora.write("nobody@birdy.local")
        await dora.until(lambda: not dora.profile.unsent)
        assert letter.id not in dora.profile.accepted
        far = dora.write("nobody@finch.local")
        await dora.until(lambda: far.id in dora.profile.fates)
        assert dora.profile.fates[far.id] == Code.NOT_FOUND.number


async def test_what_is_refused_for_now_goes_later(autojump_clock: Autojump) -> None:
    async with pair() as (net, _, carl):
        emma = await net.app("emma@finch")
        await net.close("carl@finch")
        letters = []
        for _ in range(4):
            letters.append(emma.write(CARL))
            await trio.sleep(0.1)
        await trio.sleep(1)
        assert set(emma.profile.unsent) == {letter.id for letter in letters[2:]}
        again = await net.app("carl@finch")
        await emma.until(lambda: len(emma.profile.fates) == 4, 600)
        assert again.profile is carl.profile
        assert set(carl.profile.shown.values()) == {1}


async def test_more_than_there_is_room_for_waits_and_goes(autojump_clock: Autojump) -> None:
    async with pair() as (net, dora, _):
        emma = await net.app("emma@birdy")
        net.slow("dora@birdy", "birdy", 0.2)
        dora.write_many("emma@birdy.local", [b"x" * 2_000] * 6_000)
        await dora.until(lambda: len(dora.profile.fates) == 6_000, 120)
        assert len(emma.profile.shown) == 6_000


async def test_a_profile_outlives_its_app(autojump_clock: Autojump) -> None:
    async with pair() as (net, dora, _):
        net.cut("dora@birdy", "birdy")
        letter = dora.write(CARL)
        await net.kill("dora@birdy")
        net.heal()
        again = await net.app("dora@birdy")
        assert again is not dora
        await again.until(lambda: letter.id in again.profile.fates)


async def test_keys_are_offered_and_claimed(autojump_clock: Autojump) -> None:
    async with pair() as (net, dora, carl):
        carl.publish()
        await net.until(lambda: carl.profile.published == 1)
        requests = [dora.claim(CARL) for _ in range(5)]
        await dora.until(lambda: len(dora.profile.answers) == 5)
        replies = [dora.profile.answers[request][0].reply for request in requests]
        assert len(set(replies)) == 5
        dora.repeat_claim(requests[0])
        await dora.until(lambda: len(dora.profile.answers[requests[0]]) == 2)
        assert dora.profile.answers[requests[0]][1].reply == replies[0]
        assert {answer.code for answers in dora.profile.answers.values() for answer in answers} == {0}


async def test_a_verdict_is_given_to_the_node(autojump_clock: Autojump) -> None:
    async with pair() as (net, dora, carl):
        carl.exchange.verdict = lambda _: Code.MALFORMED_ENVELOPE.number
        letter = dora.write(CARL)
        await dora.until(lambda: letter.id in dora.profile.fates)
        assert dora.profile.fates[letter.id] == Code.MALFORMED_ENVELOPE.number
        assert carl.profile.shown == {}
        assert await net.waiting("finch", "carl@finch") == 0


async def test_an_invite_serves_once(autojump_clock: Autojump) -> None:
    async with pair() as (net, dora, _):
        invite = await net.invite("fred@birdy")
        user = net.user("fred@birdy")
        for name, works in (("fred@birdy.local", True), ("mallory@birdy.local", False)):
            app = App(new_profile(name), net.fabric.network(name), user.clock, net._rng)
            if works:
                await app.join(invite)
            else:
                with pytest.raises(Refused):
                    await app.join(invite)
        assert dora.connected


def test_profiles_make_what_no_other_does() -> None:
    one, other = new_profile(DORA), new_profile(CARL)
    letters = [profile.write(CARL, 1, b"same") for profile in (one, one, other)]
    assert len({letter.id for letter in letters}) == 3
    assert one.claim(CARL) != one.claim(CARL)
    assert one.upload() == one.upload()
    assert one.package(1, 9) != one.package(2, 9)
    assert new_profile(DORA).key.public == one.key.public
