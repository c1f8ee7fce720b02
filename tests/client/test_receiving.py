"""From the node's offer to the app, with senders and nodes that lie."""

from pathlib import Path

import anyio
import msgspec
import pytest
from tests.client.node import Node
from tests.client.people import Person, altered
from tests.client.support import ALICE, BACKENDS, BOB, on, opened

from waypost.client import Client, Message, SentState
from waypost.errors import Code, LocalError, Refused
from waypost.protocol.custody.envelope import EnvelopeClass
from waypost.protocol.directory.asks import ClaimReply
from waypost.protocol.directory.bundle import DeviceList, sign_device_list


async def waiting(me: Client) -> list[Message]:
    return [message async for message in me.inbox(follow=False)]


@pytest.mark.parametrize("backend", BACKENDS)
def test_mail_is_shown_once_and_in_order(backend: str, tmp_path: Path) -> None:
    async def scene(node: Node, profile: Path) -> None:
        bob = Person(BOB)
        async with opened(node, profile) as me:
            package = node.package_of(ALICE)
            first, second = (bob.write(ALICE, package, text) for text in ("hi", "there"))
            assert await node.deliver(ALICE, first, second) == {}
            assert await node.deliver(ALICE, first) == {}
            shown = []
            async for message in me.inbox():
                shown.append(message)
                if len(shown) == 2:
                    break
            assert [message.text for message in shown] == ["hi", "there"]
            assert (shown[0].sender, shown[0].error, shown[0].identity_changed) == (BOB, None, False)
            assert (shown[0].sent_ms, len(shown[0].id)) == (1_800_000_000_000, 32)
            assert await waiting(me) == []

    on(backend, scene, tmp_path)


@pytest.mark.parametrize("backend", BACKENDS)
def test_an_inbox_that_follows_waits_for_mail(backend: str, tmp_path: Path) -> None:
    async def scene(node: Node, profile: Path) -> None:
        bob = Person(BOB)
        async with opened(node, profile) as me, anyio.create_task_group() as tasks:
            letter = bob.write(ALICE, node.package_of(ALICE), "late")
            inbox = me.inbox()

            async def later() -> None:
                await node.deliver(ALICE, letter)

            tasks.start_soon(later)
            assert (await anext(inbox)).text == "late"

    on(backend, scene, tmp_path)


def test_what_the_app_did_not_finish_is_shown_again(tmp_path: Path) -> None:
    async def scene(node: Node, profile: Path) -> None:
        bob = Person(BOB)

        async def crash() -> None:
            async with opened(node, profile) as me:
                await node.deliver(ALICE, bob.write(ALICE, node.package_of(ALICE), "hi"))
                async for _ in me.inbox():
                    raise ZeroDivisionError

        # It comes out as it is, although there is a task group in between.
        with pytest.raises(ZeroDivisionError):
            await crash()
        async with opened(node, profile) as me:
            assert (await anext(me.inbox())).text == "hi"
        async with opened(node, profile) as me:
            assert await waiting(me) == []

    on("virtual", scene, tmp_path)


def test_a_replay_in_another_envelope_is_not_shown(tmp_path: Path) -> None:
    async def scene(node: Node, profile: Path) -> None:
        bob = Person(BOB)
        async with opened(node, profile) as me:
            letter = bob.write(ALICE, node.package_of(ALICE), "pay me")
            again = [altered(letter, class_=EnvelopeClass.BULK), altered(letter, expires_s=5)]
            assert await node.deliver(ALICE, letter, *again) == {}
            assert [message.text for message in await waiting(me)] == ["pay me"]
            assert await node.deliver(ALICE, *again) == {}
            assert await waiting(me) == []

    on("virtual", scene, tmp_path)


def test_an_envelope_that_is_none_of_ours_is_refused(tmp_path: Path) -> None:
    async def scene(node: Node, profile: Path) -> None:
        bob = Person(BOB)
        async with opened(node, profile) as me:
            letter = bob.write(ALICE, node.package_of(ALICE), "hi")
            wrong = {
                altered(letter, users=("carol",)): Code.NOT_OURS,
                altered(letter, provider="finch.example"): Code.NOT_OURS,
                altered(letter, sender="Bob@finch.example"): Code.MALFORMED_ENVELOPE,
                altered(letter, created_ms=1_700_000_000_000): Code.EXPIRED,
                altered(letter, created_ms=1_900_000_000_000): Code.FROM_FUTURE,
                b"nonsense": Code.MALFORMED_ENVELOPE,
            }
            refused = await node.deliver(ALICE, *wrong)
            assert list(refused.values()) == [code.number for code in wrong.values()]
            assert await waiting(me) == []

    on("virtual", scene, tmp_path)


def test_what_cannot_be_believed_is_shown_as_such(tmp_path: Path) -> None:
    async def scene(node: Node, profile: Path) -> None:
        bob, mallory = Person(BOB), Person("mallory@finch.example", 9)
        carol = Person(ALICE, 5)
        async with opened(node, profile) as me:
            package = node.package_of(ALICE)
            honest = bob.payload(ALICE, "x")
            named = msgspec.structs.replace
            forged = [
                # SealedBody to a key that this device has never had.
                bob.write(ALICE, carol.package(), "x"),
                # Damaged on the way.
                altered(bob.write(ALICE, package, "x"), body=b"\1" + bytes(2000)),
                altered(bob.write(ALICE, package, "x"), suite="mls.9"),
                # Mallory's device signs what bob is to have said: with bob's list, with one that mallory signed.
                altered(mallory.envelope(ALICE, package, named(honest, device_list=bob.device_list())), sender=BOB),
                altered(mallory.envelope(ALICE, package, named(honest, device_list=mallory.device_list())), sender=BOB),
                # The envelope says bob, the content mallory; and another time than the envelope's.
                altered(mallory.write(ALICE, package, "x"), sender=BOB),
                altered(bob.write(ALICE, package, "x"), created_ms=1_800_000_000_001),
                # Said to somebody else, sealed again for alice; said for another purpose.
                bob.envelope(ALICE, package, bob.payload("carol@birdy.example", "x")),
                bob.envelope(ALICE, package, named(honest, purpose="join")),
            ]
            assert await node.deliver(ALICE, *forged) == {}
            shown = await waiting(me)
            assert len(shown) == len(forged)
            assert all(message.error and message.text is None and message.body == b"" for message in shown)
            # Each is shown once, and taken when it comes again.
            assert await node.deliver(ALICE, *forged) == {}
            assert await waiting(me) == []

    on("virtual", scene, tmp_path)


def test_another_identity_under_a_known_name_is_visible(tmp_path: Path) -> None:
    async def scene(node: Node, profile: Path) -> None:
        bob, impostor = Person(BOB), Person(BOB, 9)
        async with opened(node, profile) as me:
            package = node.package_of(ALICE)
            await node.deliver(ALICE, bob.write(ALICE, package, "it is me"))
            await node.deliver(ALICE, impostor.write(ALICE, package, "it is me"))
            await node.deliver(ALICE, bob.write(ALICE, package, "no, me"))
            assert [message.identity_changed for message in await waiting(me)] == [False, True, False]

    on("virtual", scene, tmp_path)


def test_nothing_more_is_written_to_the_old_key_once_a_new_one_was_met(tmp_path: Path) -> None:
    async def scene(node: Node, profile: Path) -> None:
        node.people[BOB] = Person(BOB)
        async with opened(node, profile) as me:
            await (await me.send(BOB, "to the old key")).reached(SentState.ACCEPTED)
            node.people[BOB] = Person(BOB, 9)
            await node.deliver(ALICE, node.people[BOB].write(ALICE, node.package_of(ALICE), "I had to start over"))
            sent = await me.send(BOB, "is it you?")
            with pytest.raises(Refused) as refused, anyio.fail_after(60):
                await sent.delivered()
            assert refused.value.code is Code.IDENTITY_CHANGED

    on("virtual", scene, tmp_path)


def test_a_device_that_was_removed_cannot_come_back_with_an_old_list(tmp_path: Path) -> None:
    async def scene(node: Node, profile: Path) -> None:
        stolen, kept = Person(BOB), Person(BOB)
        kept.device = Person(BOB, 3).device
        kept.sequence = 2
        async with opened(node, profile) as me:
            package = node.package_of(ALICE)
            for sender in (stolen, kept, stolen):
                sender.written += kept.written + stolen.written
                await node.deliver(ALICE, sender.write(ALICE, package, "hi"))
            assert [message.error is None for message in await waiting(me)] == [True, True, False]

    on("virtual", scene, tmp_path)


def test_nothing_is_sent_to_a_changed_identity_until_it_is_accepted(tmp_path: Path) -> None:
    async def scene(node: Node, profile: Path) -> None:
        node.people[BOB] = Person(BOB)
        async with opened(node, profile) as me:
            await (await me.send(BOB, "first")).sealed()
            old = await me.safety_number(BOB)
            other = node.people[BOB] = Person(BOB, 9)
            # The claimed package serves for a day; after that the node is asked again.
            node.start_ms += 25 * 3_600_000
            node.cut()
            sent = await me.send(BOB, "second")
            with pytest.raises(Refused) as bounced:
                await sent.delivered()
            assert bounced.value.code is Code.IDENTITY_CHANGED
            with pytest.raises(LocalError) as refused:
                await me.send(BOB, "third")
            assert refused.value.code is Code.IDENTITY_CHANGED
            assert await me.safety_number(BOB) != old
            await (await me.send(BOB, "fourth", accept_new_key=True)).sealed()
            await (await me.send(BOB, "fifth")).sealed()
            await node.until(lambda: len(node.taken) == 3)
            assert [other.read(envelope) for envelope in node.taken[1:]] == ["fourth", "fifth"]

    on("virtual", scene, tmp_path)


def test_a_forged_bundle_makes_a_message_wait(tmp_path: Path) -> None:
    async def scene(node: Node, profile: Path) -> None:
        bob, mallory = node.people[BOB], node.people["m@finch.example"] = Person(BOB), Person("m@finch.example", 9)

        def other_device(reply: ClaimReply) -> ClaimReply:
            keys = msgspec.structs.replace(reply.devices[0], device=mallory.device.public, package=mallory.package())
            return msgspec.structs.replace(reply, devices=(keys,))

        def other_list(reply: ClaimReply) -> ClaimReply:
            devices = DeviceList(1, BOB, bob.identity.public, 2, (mallory.device.public,))
            forged = sign_device_list(devices, mallory.identity)
            return msgspec.structs.replace(other_device(reply), device_list=forged)

        def other_address(reply: ClaimReply) -> ClaimReply:
            return msgspec.structs.replace(reply, address=mallory.address, device_list=mallory.device_list())

        async with opened(node, profile) as me:
            sent = await me.send(BOB, "secret")
            for alter in (other_device, other_list, other_address):
                node.altered = alter
                await anyio.sleep(600)
                assert not sent.is_sealed
                assert (await sent.status()).state.value == "waiting"
            node.altered = lambda reply: reply
            await sent.sealed()
            await node.until(lambda: node.taken)
            assert bob.read(node.taken[0]) == "secret"

    on("virtual", scene, tmp_path)


def test_another_node_does_not_answer_for_our_own_provider(tmp_path: Path) -> None:
    async def scene(node: Node, profile: Path) -> None:
        carol = "carol@birdy.example"
        node.people[carol] = Person(carol)
        async with opened(node, profile) as me:
            node.has_a_double = True
            sent = await me.send(carol, "secret")
            await anyio.sleep(600)
            assert not sent.is_sealed
            assert (await sent.status()).state.value == "waiting"
            node.has_a_double = False
            await sent.sealed()

    on("virtual", scene, tmp_path)


def test_a_full_inbox_leaves_mail_with_the_node(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from waypost.client.mail import incoming

    monkeypatch.setattr(incoming, "UNREAD_MAX_MESSAGES", 2)

    async def scene(node: Node, profile: Path) -> None:
        bob = Person(BOB)
        async with opened(node, profile) as me:
            package = node.package_of(ALICE)
            letters = [bob.write(ALICE, package, str(number)) for number in range(3)]
            assert await node.deliver(ALICE, *letters) == {2: Code.MAILBOX_FULL.number}
            assert len(await waiting(me)) == 2
            assert await node.deliver(ALICE, letters[2]) == {}
            assert [message.text for message in await waiting(me)] == ["2"]

    on("virtual", scene, tmp_path)


def test_first_contacts_are_forgotten_before_those_written_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from waypost.client.talk import pins

    monkeypatch.setattr(pins, "PINS_MAX", 3)

    async def scene(node: Node, profile: Path) -> None:
        bob = node.people[BOB] = Person(BOB)
        async with opened(node, profile) as me:
            await (await me.send(BOB, "hi")).sealed()
            package = node.package_of(ALICE)
            for number in range(6):
                stranger = Person(f"s{number}@finch.example", number + 20)
                stranger.written = number * 10
                await node.deliver(ALICE, stranger.write(ALICE, package, "spam"))
            impostor = Person(BOB, 9)
            await node.deliver(ALICE, impostor.write(ALICE, package, "hi"), bob.write(ALICE, package, "hi"))
            assert [message.identity_changed for message in await waiting(me)] == [False] * 6 + [True, False]

    on("virtual", scene, tmp_path)
