"""Profiles on disk: joining, locking, and what a crash leaves."""

import shutil
import sqlite3
import stat
from pathlib import Path

import anyio
import pytest
from tests.client.node import PROVIDER, Node, record_of
from tests.client.people import Person
from tests.client.support import ALICE, BACKENDS, BOB, on, opened

from waypost.client import SentState, connect, join
from waypost.clock import SECOND_MS
from waypost.crypto.keys import Purpose, SigningKey
from waypost.errors import Code, LocalError, PeerFault, Refused
from waypost.limits import EXPIRY_MAX_S
from waypost.protocol.directory.asks import Join, Publish
from waypost.protocol.directory.bundle import open_package
from waypost.protocol.directory.record import NodeRecord, sign_record, succession_payload


def modes_of(profile: Path) -> tuple[int, set[int]]:
    """Of the directory, and of the files in it."""
    return stat.S_IMODE(profile.stat().st_mode), {stat.S_IMODE(path.stat().st_mode) for path in profile.iterdir()}


def bytes_of_database(profile: Path) -> bytes:
    return b"".join(path.read_bytes() for path in profile.glob("state.db*"))


@pytest.mark.parametrize("backend", BACKENDS)
def test_joining_makes_a_private_profile_with_keys_published(backend: str, tmp_path: Path) -> None:
    async def scene(node: Node, profile: Path) -> None:
        assert modes_of(profile) == (0o700, {0o600})
        assert len(node.accounts[ALICE].packages) == 100
        assert node.accounts[ALICE].last_resort
        address = await join(
            node.invite("carol"), profile.parent / "c", label="phone", reach=["finch.example"], parts=node.parts()
        )
        assert (address, node.accounts[address].label) == ("carol@birdy.example", "phone")
        assert node.asks[-1].providers == ("finch.example",)  # type: ignore[union-attr]

    on(backend, scene, tmp_path)


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_passphrase_locks_the_profile(backend: str, tmp_path: Path) -> None:
    async def scene(node: Node, profile: Path) -> None:
        locked = profile.parent / "locked"
        await join(node.invite("carol"), locked, passphrase="correct horse", parts=node.parts())
        for wrong in (None, "wrong"):
            with pytest.raises(LocalError) as error:
                async with connect(locked, wrong, parts=node.parts()):
                    raise AssertionError
            assert error.value.code is Code.WRONG_PASSPHRASE
        async with opened(node, locked, "correct horse") as me:
            assert me.address == "carol@birdy.example"

    on(backend, scene, tmp_path)


def test_one_program_at_a_time(tmp_path: Path) -> None:
    async def scene(node: Node, profile: Path) -> None:
        async with opened(node, profile):
            with pytest.raises(LocalError) as error:
                async with connect(profile, parts=node.parts()):
                    raise AssertionError
            assert error.value.code is Code.PROFILE_IN_USE
        async with opened(node, profile):
            pass

    on("virtual", scene, tmp_path)


def test_what_is_no_profile_says_so(tmp_path: Path) -> None:
    async def scene(node: Node, profile: Path) -> None:
        async def code_of(directory: Path) -> Code:
            with pytest.raises(LocalError) as error:
                async with connect(directory, parts=node.parts()):
                    raise AssertionError
            return error.value.code

        assert await code_of(profile.parent / "none") is Code.NO_PROFILE
        with pytest.raises(LocalError) as exists:
            await join(node.invite("dora"), profile, parts=node.parts())
        assert exists.value.code is Code.PROFILE_EXISTS
        full = profile.parent / "photos"
        full.mkdir()
        (full / "cat.jpg").touch()
        with pytest.raises(LocalError) as exists:
            await join(node.invite("erin"), full, parts=node.parts())
        assert exists.value.code is Code.PROFILE_EXISTS
        (profile / "state.db").write_bytes(b"not a database, but long enough to be looked at" * 9)
        assert await code_of(profile) is Code.STATE_DAMAGED
        (profile / "secrets").write_bytes(b"junk")
        assert await code_of(profile) in (Code.WRONG_PASSPHRASE, Code.STATE_DAMAGED)

    on("virtual", scene, tmp_path)


def test_a_join_that_was_cut_short_is_taken_up_again(tmp_path: Path) -> None:
    async def scene(node: Node, profile: Path) -> None:
        invite, carol = node.invite("carol"), profile.parent / "carol"
        node.mute = (Join,)
        with pytest.raises(Refused) as error:
            await join(invite, carol, parts=node.parts())
        assert error.value.code is Code.TIMED_OUT
        with pytest.raises(LocalError) as missing:
            async with connect(carol, parts=node.parts()):
                raise AssertionError
        assert missing.value.code is Code.NO_PROFILE
        node.mute = ()
        assert await join(invite, carol, parts=node.parts()) == "carol@birdy.example"
        joins = [ask for ask in node.asks if isinstance(ask, Join)]
        assert joins[-1].device_list == joins[-2].device_list
        with pytest.raises(Refused) as used:
            await join(node.invite("dora").replace("waypost:", "waypost: "), profile.parent / "x", parts=_wrong(node))
        assert used.value.code is Code.INVITE_INVALID

    on("virtual", scene, tmp_path)


def _wrong(node: Node):  # type: ignore[no-untyped-def]
    node.tokens.clear()
    return node.parts()


def test_another_node_in_place_of_ours_is_not_spoken_to(tmp_path: Path) -> None:
    async def scene(node: Node, profile: Path) -> None:
        invite = node.invite("carol")
        node.key = SigningKey(b"x" * 32)
        with pytest.raises(PeerFault) as error:
            await join(invite, profile.parent / "carol", parts=node.parts())
        assert error.value.code is Code.WRONG_PEER
        async with connect(profile, parts=node.parts()) as me:
            await me.send(BOB, "hi")
            await anyio.sleep(30)
            assert me.trouble is not None
            assert me.trouble.code is Code.WRONG_PEER
            assert not me.is_connected
            with pytest.raises(Refused) as unreachable:
                await me.reach()
            assert unreachable.value.code is Code.UNREACHABLE

    on("virtual", scene, tmp_path)


def test_a_node_may_hand_its_name_to_a_new_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from tests.client import node as module

    async def scene(node: Node, profile: Path) -> None:
        old, new = node.key, SigningKey(b"x" * 32)

        def succeeded(provider: str, key: SigningKey, now_ms: int) -> bytes:
            proof = old.sign(Purpose.RECORD_SUCCESSION, succession_payload(PROVIDER, new.public))
            record = NodeRecord(
                1, provider, key.public, 2, now_ms, now_ms + 10**6, (module.ENDPOINT,), (), old_key=old.public,
                old_signature=proof,
            )  # fmt: skip
            return sign_record(record, key)

        monkeypatch.setattr(module, "record_of", succeeded)
        node.key = new
        async with opened(node, profile):
            pass
        # From now on it is known by the new key alone.
        monkeypatch.setattr(module, "record_of", record_of)
        async with opened(node, profile):
            pass

    on("virtual", scene, tmp_path)


def test_a_message_written_without_a_link_goes_after_a_restart(tmp_path: Path) -> None:
    async def scene(node: Node, profile: Path) -> None:
        bob = node.people[BOB] = Person(BOB)
        node.up = False
        async with connect(profile, parts=node.parts()) as me:
            local = (await me.send(BOB, "hi")).id
        node.up = True
        async with opened(node, profile) as me:
            sent = await me.sent(local)
            await sent.reached(SentState.ACCEPTED)
            assert bob.read(node.taken[0]) == "hi"
            assert sent.id != local
            assert (await me.sent(local)).id == sent.id

    on("virtual", scene, tmp_path)


def test_a_lost_receipt_neither_loses_nor_doubles(tmp_path: Path) -> None:
    async def scene(node: Node, profile: Path) -> None:
        node.people[BOB] = Person(BOB)
        node.receipts = False
        async with opened(node, profile) as me:
            sent = await me.send(BOB, "hi")
            await node.until(lambda: node.taken)
        # As if the machine had died before what follows was on the disk.
        shutil.copytree(profile, profile.parent / "crashed")
        node.receipts = True
        for directory in (profile, profile.parent / "crashed"):
            async with opened(node, directory) as me:
                again = await me.sent(sent.id)
                await again.reached(SentState.ACCEPTED)
        # The same bytes each time, so the same id: the node has it once.
        assert len(node.taken) == 1

    on("virtual", scene, tmp_path)


def test_mail_whose_receipt_was_lost_is_shown_once(tmp_path: Path) -> None:
    async def scene(node: Node, profile: Path) -> None:
        letter = b""
        async with opened(node, profile) as me:
            letter = Person(BOB).write(ALICE, node.package_of(ALICE), "hi")
            await node.deliver(ALICE, letter)
            shutil.copytree(profile, profile.parent / "crashed")
            assert (await anext(me.inbox())).text == "hi"
        async with opened(node, profile) as me:
            assert await node.deliver(ALICE, letter) == {}
            assert [message.text async for message in me.inbox(follow=False)] == []
        # Before it was shown, the crash loses nothing.
        async with opened(node, profile.parent / "crashed") as me:
            assert await node.deliver(ALICE, letter) == {}
            assert [message.text async for message in me.inbox(follow=False)] == ["hi"]

    on("virtual", scene, tmp_path)


def test_the_database_alone_reads_nothing(tmp_path: Path) -> None:
    async def scene(node: Node, profile: Path) -> None:
        node.up = False
        async with connect(profile, parts=node.parts()) as me:
            await me.send(BOB, "the treasure is under the oak")
        node.up = True
        async with opened(node, profile) as me:
            letter = Person(BOB).write(ALICE, node.package_of(ALICE), "which oak, the old one?")
            await node.deliver(ALICE, letter)
            assert b"oak" not in bytes_of_database(profile)
            assert [message.text async for message in me.inbox(follow=False)] == ["which oak, the old one?"]
        with sqlite3.connect(profile / "state.db") as db:
            # What has been shown is gone, also from those who hold the secrets.
            assert db.execute("SELECT count(*) FROM inbox WHERE message IS NOT NULL").fetchone() == (0,)
        db.close()

    on("virtual", scene, tmp_path)


def test_keys_are_filled_up_when_they_run_low_and_after_a_restored_backup(tmp_path: Path) -> None:
    from waypost.protocol.frames.messages import Notice, NoticeKind

    async def scene(node: Node, profile: Path) -> None:
        account = node.accounts[ALICE]
        async with opened(node, profile) as me:
            taken = account.packages[:85]
            del account.packages[:85]
            (await node.link_of(ALICE)).notice(Notice(99, 15))  # of a newer node: passed over
            (await node.link_of(ALICE)).notice(Notice(NoticeKind.KEYS_LOW, 15))
            await node.until(lambda: len(account.packages) == 100)
            assert not set(taken) & set(account.packages)
            # A message to a package given out long ago is still read.
            await node.deliver(ALICE, Person(BOB).write(ALICE, taken[0], "hi"))
            assert (await anext(me.inbox())).text == "hi"
        before = list(account.packages)
        node.epoch += 1
        account.packages.clear()
        async with opened(node, profile):
            assert len(account.packages) == 100
            assert not set(before) & set(account.packages)

    on("virtual", scene, tmp_path)


def test_private_keys_are_kept_for_as_long_as_something_can_come(tmp_path: Path) -> None:
    async def scene(node: Node, profile: Path) -> None:
        data = node.accounts[ALICE].packages[0]
        async with opened(node, profile) as me:
            database, packages = me._database, me._packages
            package = open_package(data, node.accounts[ALICE].device)
            last_ms = package.package.expires_ms + EXPIRY_MAX_S * SECOND_MS
            for now_ms, there in ((last_ms - 1, True), (last_ms, False)):
                await database.run(lambda conn, now_ms=now_ms: packages.forget(conn, now_ms))  # type: ignore[misc]
                seed = await database.run(lambda conn: packages.seed(conn, package.id))
                assert (seed is not None) is there

    on("virtual", scene, tmp_path)


def test_an_upload_without_an_answer_is_repeated_as_it_was(tmp_path: Path) -> None:
    async def scene(node: Node, profile: Path) -> None:
        account = node.accounts[ALICE]
        account.packages.clear()
        answer = node._publish
        lost: list[Publish] = []

        def lose(served, ask):  # type: ignore[no-untyped-def]
            if ask.packages and not lost:
                lost.append(ask)
                node.tasks.start_soon(_cut, node)
            return answer(served, ask)

        node._publish = lose  # type: ignore[method-assign]
        async with opened(node, profile):
            uploads = [ask for ask in node.asks if isinstance(ask, Publish) and ask.packages]
            assert uploads[-1] == uploads[-2] == lost[0]

    on("virtual", scene, tmp_path)


async def _cut(node: Node) -> None:
    node.cut()
