import time

import pytest

from waypost.cli import words


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


def test_number_of_a_newer_node() -> None:
    assert words.reason(999) == "unknown (999)"
