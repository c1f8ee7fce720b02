"""From `send` to the end of a message's life, with a node that does as it is told."""

from pathlib import Path

import anyio
import pytest
from tests.client.node import Node
from tests.client.people import Person
from tests.client.support import ALICE, BACKENDS, BOB, on, opened

from waypost.client import SentState, connect
from waypost.crypto.keys import envelope_id
from waypost.errors import Code, LocalError, Refused
from waypost.limits import PACKAGE_REUSE_MS
from waypost.protocol.custody.transfer import Outcome, Refusal
from waypost.protocol.directory.asks import Claim
from waypost.protocol.frames.messages import Notice, NoticeKind


def outcome(envelope: bytes, code: int = 0, recipient: str = BOB, sender: str = "alice") -> Outcome:
    return Outcome(sender, recipient, code, 1_800_000_000_500, envelope_id(envelope))


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_message_goes_out_and_its_history_is_told(backend: str, tmp_path: Path) -> None:
    async def scene(node: Node, profile: Path) -> None:
        bob = node.people[BOB] = Person(BOB)
        async with opened(node, profile) as me:
            assert me.address == ALICE
            sent = await me.send(" Bob@Finch.Example ", "hi")
            await node.until(lambda: node.taken)
            assert bob.read(node.taken[0]) == "hi"
            assert await sent.sealed() == envelope_id(node.taken[0]).hex() == sent.id
            link = await node.link_of(ALICE)
            await sent.reached(SentState.ACCEPTED)
            link.notice(Notice(NoticeKind.HELD, 0, 1_800_000_000_400, envelope_id(node.taken[0])))
            await sent.reached(SentState.HELD)
            await link.report(outcome(node.taken[0]))
            assert (await sent.delivered()).at_ms == 1_800_000_000_500
            states = [status.state.value async for status in sent.states()]
            assert states == ["queued", "accepted", "held", "delivered"]
            assert (await me.sent(sent.id)).id == sent.id
            assert [row.event for row in await me.track(sent.id)] == ["accepted"]
            assert (await me.reach("all")).mode == "all"

    on(backend, scene, tmp_path)


@pytest.mark.parametrize("backend", BACKENDS)
def test_messages_keep_their_order_and_share_one_claim(backend: str, tmp_path: Path) -> None:
    async def scene(node: Node, profile: Path) -> None:
        bob = node.people[BOB] = Person(BOB)
        async with opened(node, profile) as me:
            for number in range(150):
                await me.send(BOB, str(number))
            await node.until(lambda: len(node.taken) == 150)
            assert [bob.read(envelope) for envelope in node.taken] == [str(number) for number in range(150)]
            assert sum(isinstance(ask, Claim) for ask in node.asks) == 1
            # With keys at hand a message has its final id at once.
            sent = await me.send(BOB, "one more")
            assert sent.is_sealed

    on(backend, scene, tmp_path)


def test_what_waits_for_keys_is_not_overtaken_when_there_are_keys(tmp_path: Path) -> None:
    async def scene(node: Node, profile: Path) -> None:
        bob = node.people[BOB] = Person(BOB)
        async with opened(node, profile) as me:
            await (await me.send(BOB, "first")).reached(SentState.ACCEPTED)
        node.up = False
        async with connect(profile, parts=node.parts()) as me:
            await anyio.sleep(1)  # the first look at what is old
            # The clock goes beyond the time in which keys serve, and is set back.
            node.start_ms += PACKAGE_REUSE_MS
            assert not (await me.send(BOB, "second")).is_sealed
            node.start_ms -= PACKAGE_REUSE_MS
            assert not (await me.send(BOB, "third")).is_sealed
        node.up = True
        async with opened(node, profile) as me:
            await node.until(lambda: len(node.taken) == 3)
            assert [bob.read(envelope) for envelope in node.taken] == ["first", "second", "third"]
            assert (await me.send(BOB, "fourth")).is_sealed

    on("virtual", scene, tmp_path)


@pytest.mark.parametrize("code", [Code.NOT_FOUND, Code.INCOMPATIBLE, Code.PROVIDER_UNKNOWN])
def test_no_such_user_bounces_with_the_nodes_reason(code: Code, tmp_path: Path) -> None:
    async def scene(node: Node, profile: Path) -> None:
        node.claim_code[BOB] = code.number
        async with opened(node, profile) as me:
            sent = await me.send(BOB, "hi")
            with pytest.raises(Refused) as refused:
                await sent.delivered()
            assert refused.value.code is code
            with pytest.raises(Refused):
                await sent.sealed()
            assert (await me.sent(sent.id)).id == sent.id
            assert await me.track(sent.id) == ()

    on("virtual", scene, tmp_path)


def test_without_keys_a_message_waits_and_is_tried_again(tmp_path: Path) -> None:
    async def scene(node: Node, profile: Path) -> None:
        bob = node.people[BOB] = Person(BOB)
        node.claim_code[BOB] = Code.UNREACHABLE.number
        async with opened(node, profile) as me:
            sent = await me.send(BOB, "hi")
            waiting = await sent.reached(SentState.WAITING)
            assert (waiting.code, waiting.reason) == (Code.UNREACHABLE.number, "unreachable (204)")
            assert waiting.next_try_ms > waiting.at_ms
            await anyio.sleep(700)
            claims = [ask for ask in node.asks if isinstance(ask, Claim)]
            # 2 s, 10 s, 30 s, 2 min, 5 min, each answered and so each a new request.
            assert 5 <= len({claim.request for claim in claims}) == len(claims) <= 7
            assert [status.state for status in await sent.history()] == [SentState.QUEUED, SentState.WAITING]
            del node.claim_code[BOB]
            await sent.reached(SentState.ACCEPTED)
            assert bob.read(node.taken[0]) == "hi"

    on("virtual", scene, tmp_path)


def test_a_claim_without_an_answer_is_repeated_as_it_was(tmp_path: Path) -> None:
    async def scene(node: Node, profile: Path) -> None:
        node.people[BOB] = Person(BOB)
        async with opened(node, profile) as me:
            node.mute = (Claim,)
            sent = await me.send(BOB, "hi")
            await sent.reached(SentState.WAITING)
            node.cut()
            node.mute = ()
            await sent.reached(SentState.ACCEPTED)
            claims = [ask for ask in node.asks if isinstance(ask, Claim)]
            assert len(claims) == 2
            assert claims[0] == claims[1]

    on("virtual", scene, tmp_path)


def test_refused_for_now_waits_and_refused_for_good_bounces(tmp_path: Path) -> None:
    async def scene(node: Node, profile: Path) -> None:
        node.people[BOB] = Person(BOB)
        verdicts = [Refusal(0, Code.MAILBOX_FULL.number, 90), Refusal(0, Code.BUSY.number)]
        node.verdict = lambda _: verdicts.pop(0) if verdicts else 0
        async with opened(node, profile) as me:
            start = anyio.current_time()
            sent = await me.send(BOB, "hi")
            await sent.reached(SentState.ACCEPTED)
            assert 91 < anyio.current_time() - start < 105
            codes = [status.code for status in await sent.history()]
            assert codes == [0, Code.MAILBOX_FULL.number, Code.BUSY.number, 0]
            node.verdict = lambda _: Code.TOO_LARGE.number
            sent = await me.send(BOB, "hi again")
            with pytest.raises(Refused) as refused:
                await sent.delivered()
            assert refused.value.code is Code.TOO_LARGE

    on("virtual", scene, tmp_path)


def test_a_busy_node_is_left_alone_for_a_while(tmp_path: Path) -> None:
    async def scene(node: Node, profile: Path) -> None:
        node.people[BOB] = Person(BOB)
        asked = []

        def busy(envelope: bytes) -> int:
            asked.append(anyio.current_time())
            return Code.RATE_LIMITED.number

        node.verdict = busy
        async with opened(node, profile) as me:
            await (await me.send(BOB, "first")).reached(SentState.WAITING)
            for number in range(5):
                await me.send(BOB, str(number))
            await anyio.sleep(1)
            assert len(asked) == 1
            node.verdict = lambda _: 0
            await node.until(lambda: len(node.taken) == 6)

    on("virtual", scene, tmp_path)


@pytest.mark.parametrize(("code", "state"), [(Code.NOT_FOUND, SentState.BOUNCED), (Code.EXPIRED, SentState.EXPIRED)])
def test_the_nodes_report_of_a_failure_ends_a_message(code: Code, state: SentState, tmp_path: Path) -> None:
    async def scene(node: Node, profile: Path) -> None:
        node.people[BOB] = Person(BOB)
        async with opened(node, profile) as me:
            sent = await me.send(BOB, "hi")
            await node.until(lambda: node.taken)
            link = await node.link_of(ALICE)
            await link.report(outcome(node.taken[0], recipient="carol@finch.example"))
            await link.report(outcome(node.taken[0], sender="mallory"))
            assert not (await sent.status()).state.is_final
            await link.report(outcome(node.taken[0], code.number))
            with pytest.raises(Refused) as refused:
                await sent.delivered()
            assert refused.value.code is code
            assert (await sent.status()).state is state
            # Nothing follows an end but the truth: it was delivered after all, and stays so.
            await link.report(outcome(node.taken[0]))
            await link.report(outcome(node.taken[0], code.number))
            assert [status.state for status in await sent.history()][-2:] == [state, SentState.DELIVERED]

    on("virtual", scene, tmp_path)


def test_what_nobody_takes_expires_in_the_profile(tmp_path: Path) -> None:
    async def scene(node: Node, profile: Path) -> None:
        node.up = False
        async with connect(profile, parts=node.parts()) as me:
            sent = await me.send(BOB, "hi", expires_s=3600)
            with pytest.raises(Refused) as refused:
                await sent.delivered()
            assert refused.value.code is Code.EXPIRED
            assert 3600 <= anyio.current_time() < 3700
            assert me.trouble is not None
            assert me.trouble.code is Code.UNREACHABLE

    on("virtual", scene, tmp_path)


def test_attempts_to_reach_the_node_grow_rare(tmp_path: Path) -> None:
    async def scene(node: Node, profile: Path) -> None:
        async with opened(node, profile) as me:
            before = node.dials
            node.up = False
            node.cut()
            await anyio.sleep(3600)
            assert 60 <= node.dials - before <= 140
            assert not me.is_connected
            node.up = True
            await me.connected()
            assert me.trouble is None

    on("virtual", scene, tmp_path)


def test_nonsense_is_refused_before_it_is_written(tmp_path: Path) -> None:
    async def scene(node: Node, profile: Path) -> None:
        async with connect(profile, parts=node.parts()) as me:
            with pytest.raises(LocalError, match="not an address"):
                await me.send("bob", "hi")
            with pytest.raises(Refused) as refused:
                await me.send(BOB, bytes(64 * 1024))
            assert refused.value.code is Code.TOO_LARGE
            with pytest.raises(ValueError, match="seconds"):
                await me.send(BOB, "hi", expires_s=0)
            with pytest.raises(Refused) as refused:
                await me.sent("0" * 32)
            assert refused.value.code is Code.UNKNOWN_MESSAGE

    on("virtual", scene, tmp_path)


def test_what_waits_in_a_profile_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from waypost.client.mail import outgoing

    monkeypatch.setattr(outgoing, "UNSENT_MAX_MESSAGES", 3)

    async def scene(node: Node, profile: Path) -> None:
        node.up = False
        async with connect(profile, parts=node.parts()) as me:
            for _ in range(3):
                await me.send(BOB, "hi")
            with pytest.raises(Refused) as refused:
                await me.send(BOB, "hi")
            assert refused.value.code is Code.QUEUE_FULL

    on("virtual", scene, tmp_path)
