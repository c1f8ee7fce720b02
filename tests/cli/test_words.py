import time

import pytest

from waypost.cli import words
from waypost.errors import Code


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "0 B"), (1023, "1023 B"), (1024, "1.0 KiB"), (1536, "1.5 KiB"), (3 << 20, "3.0 MiB"), (1 << 50, "1024.0 TiB")],
)
def test_sizes(count: int, text: str) -> None:
    assert words.size(count) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 s"),
        (0.25, "0.2 s"),
        (9.9, "9.9 s"),
        (45, "45 s"),
        (60, "1 min"),
        (185, "3 min 5 s"),
        (3_600, "1 h"),
        (7_620, "2 h 7 min"),
        (86_400, "1 d"),
        (4 * 86_400 + 3 * 3_600 + 59, "4 d 3 h"),
    ],
)
def test_durations(seconds: float, text: str) -> None:
    assert words.duration(seconds) == text


def test_until() -> None:
    now_ms = int(time.time() * 1000)
    assert words.until(now_ms - 5_000) == "now"
    assert words.until(now_ms + 3_600_500).startswith("in ")


@pytest.mark.parametrize(
    "event", ["accepted", "queued", "held", "delivered", "bounced", "expired", "deferred", "new-one"]
)
def test_each_step_names_the_party_and_the_reason(event: str) -> None:
    text = words.step({"event": event, "party": "finch.local", "code": Code.MAILBOX_FULL.number})
    assert "finch.local" in text or event == "expired"
    if event in ("bounced", "expired", "deferred", "new-one"):
        assert "mailbox is full (201)" in text


def test_steps_of_a_profile_have_no_party() -> None:
    assert words.step({"event": "queued", "code": 0}) == "queued"
    assert words.step({"event": "bounced", "code": 300}) == "bounced: no such user (300)"


def test_number_of_a_newer_node() -> None:
    assert words.reason(999) == "unknown (999)"


@pytest.mark.parametrize(
    ("found", "text"),
    [
        ({"state": "delivered"}, "Delivered."),
        ({"state": "bounced", "code": 300}, "Bounced: no such user (300). Check the address"),
        (
            {"state": "waiting", "code": 204, "next_try_ms": 1},
            "Waiting: provider cannot be reached (204)",
        ),
        (
            {"state": "queued", "rows": [{"event": "queued", "party": "bob@finch.local"}]},
            "Waiting here until an app of bob",
        ),
        ({"state": "queued", "rows": [{"event": "queued", "party": "finch.local"}]}, "Accepted: it is on its way"),
        ({"state": "held"}, "Held:"),
    ],
)
def test_standing(found: dict[str, object], text: str) -> None:
    assert words.standing({"rows": [], **found}).startswith(text)
