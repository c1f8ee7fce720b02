import json
from typing import get_args

import msgpack
import pytest
from tests.protocol import golden
from tests.protocol.strategies import plain

from waypost.protocol.directory.asks import Ask
from waypost.protocol.frames.codec import FrameBuffer
from waypost.protocol.frames.messages import Message, Query, decode


def test_the_wire_has_not_changed() -> None:
    assert json.loads(golden.PATH.read_text()) == golden.build()


def test_every_message_and_every_request_is_there() -> None:
    samples = golden.messages().values()
    assert {type(sample) for sample in samples} == set(get_args(Message))
    assert {type(sample.ask) for sample in samples if isinstance(sample, Query)} == set(get_args(Ask))


@pytest.mark.parametrize("name", golden.messages())
def test_golden_bytes_decode(name: str) -> None:
    (row,) = (row for row in json.loads(golden.PATH.read_text())["frames"] if row["name"] == name)
    (body,) = FrameBuffer().feed(bytes.fromhex(row["frame"]))
    assert decode(body) == golden.messages()[name]
    # What another implementation's library makes of them.
    assert plain(msgpack.unpackb(body)) == row["message"]
