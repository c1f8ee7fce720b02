"""What a node answers, in words."""

import ast
from pathlib import Path

import msgspec
import pytest

from waypost.cli import sentences
from waypost.cli.shapes import ProfileStep
from waypost.errors import Code
from waypost.protocol.custody.fate import Event, State
from waypost.protocol.directory.reach import ReachMode
from waypost.protocol.directory.trust import Mode, Trust
from waypost.protocol.operator import (
    MessageTrace,
    PeerActed,
    PeerAction,
    ProviderLeft,
    QueueActed,
    QueueAction,
    TraceStep,
    UserNow,
)


@pytest.mark.parametrize(
    "event", ["accepted", "queued", "held", "delivered", "bounced", "expired", "deferred", "new-one"]
)
def test_each_step_names_the_party_and_the_reason(event: str) -> None:
    text = sentences.step(TraceStep(0, Event(event), "finch.local", Code.MAILBOX_FULL.number))
    assert "finch.local" in text or event == "expired"
    if event in ("bounced", "expired", "deferred", "new-one"):
        assert "mailbox is full (201)" in text


def test_steps_of_a_profile_have_no_party() -> None:
    assert sentences.step(ProfileStep(0, State.QUEUED, 0)) == "queued"
    assert sentences.step(ProfileStep(0, State.BOUNCED, 300)) == "bounced: no such user (300)"
    assert sentences.step(TraceStep(0, Event.QUEUED, "", 0)) == "queued"


def trace(state: State, *, code: int = 0, next_try_ms: int = 0, rows: tuple[TraceStep, ...] = ()) -> MessageTrace:
    return MessageTrace("00" * 16, "birdy.local", state, code, next_try_ms, rows)


@pytest.mark.parametrize(
    ("found", "text"),
    [
        (trace(State.DELIVERED), "Delivered."),
        (trace(State.BOUNCED, code=300), "Bounced: no such user (300). Check the address"),
        (trace(State.WAITING, code=204, next_try_ms=1), "Waiting: provider cannot be reached (204)"),
        (
            trace(State.QUEUED, rows=(TraceStep(0, Event.QUEUED, "bob@finch.local", 0),)),
            "Waiting here until an app of bob",
        ),
        (trace(State.QUEUED, rows=(TraceStep(0, Event.QUEUED, "finch.local", 0),)), "Accepted: it is on its way"),
        (trace(State.HELD), "Held:"),
    ],
)
def test_standing(found: MessageTrace, text: str) -> None:
    assert sentences.standing(found).startswith(text)


def test_every_word_of_the_protocol_has_its_sentence() -> None:
    assert set(sentences.TRUST) == set(Trust)
    assert all(sentences.standing(trace(state)) for state in State)
    assert all(sentences.news(state, "bob@finch.local", 0, 0) for state in State)
    for action in PeerAction:
        assert "finch.local" in sentences.peer_changed(PeerActed("finch.local", action, Mode.OPEN, "1 2"))
    for deed in QueueAction:
        assert "finch.local" in sentences.queue_changed(QueueActed("finch.local", deed, 3, linked=False))
    assert sentences.queue_changed(QueueActed("finch.local", QueueAction.RETRY, 3, linked=True)).endswith("linked.")
    assert "1 2" in sentences.peer_changed(PeerActed("finch.local", PeerAction.PIN, Mode.OPEN, "1 2"))
    assert "allowlist" in sentences.peer_changed(PeerActed("finch.local", PeerAction.CLEAR, Mode.ALLOWLIST, ""))


def test_who_may_write() -> None:
    user = UserNow("alice@birdy.local", 1, 1, 0, 0, ReachMode.SOME, ("finch.local", "wren.local"), ReachMode.SOME)
    assert sentences.who_may_write(user) == "finch.local, wren.local"
    everyone = msgspec.structs.replace(user, reach=ReachMode.DEFAULT, providers=(), effective=ReachMode.ALL)
    assert sentences.who_may_write(everyone) == "all (the provider's default)"
    assert sentences.who_may_write(msgspec.structs.replace(everyone, reach=ReachMode.NONE)) == "none"


def test_a_provider_that_left_with_reports() -> None:
    assert sentences.left(ProviderLeft("birdy.local", 1, "", 0)).startswith("birdy.local has told one linked peer,")
    assert "\n2 reports" in sentences.left(ProviderLeft("birdy.local", 3, "", 2))


def test_a_page_can_use_them() -> None:
    """They know nothing of the command line that shows them."""
    tree = ast.parse(Path(sentences.__file__).read_text("utf-8"))
    known = {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.module}
    assert {name for name in known if name.startswith("waypost.cli.")} == {"waypost.cli.shapes", "waypost.cli.words"}
    assert not known & {"typer", "sys", "rich"}
