import json

import pytest
import structlog

from waypost.daemon.log import configure
from waypost.daemon.plan import Format, Level


@pytest.fixture(autouse=True)
def _restore() -> None:
    structlog.reset_defaults()


@pytest.mark.parametrize("form", ["plain", "json"])
def test_secrets_and_bytes_stay_out(form: str, capsys: pytest.CaptureFixture[str]) -> None:
    import logging

    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    try:
        configure(Level.INFO, Format(form))
        structlog.get_logger("x").info(
            "said", token="t0k3n", line="waypost:AbCdEf", data=b"private", peer="finch.local"
        )
        structlog.get_logger("x").debug("not this")
    finally:
        root.handlers[:] = handlers
        root.setLevel(level)
        structlog.reset_defaults()
    printed = capsys.readouterr()
    assert printed.out == ""
    assert "finch.local" in printed.err
    assert all(secret not in printed.err for secret in ("t0k3n", "AbCdEf", "private", "not this"))
    if form == "json":
        assert json.loads(printed.err)["data"] == "(7 bytes)"
