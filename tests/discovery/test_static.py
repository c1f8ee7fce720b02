import trio

from waypost.discovery.source import Endpoint, Sighting
from waypost.discovery.static import StaticPeer, StaticSource
from waypost.ids import Provider

BIRDY = StaticPeer(Provider("birdy.local"), (Endpoint("192.0.2.1", 7711),), key=b"k" * 32)
FINCH = StaticPeer(Provider("finch.example"), (Endpoint("finch.example", 1), Endpoint("192.0.2.2", 2)))


async def test_configured_peers_are_reported_at_once_and_once(autojump_clock: trio.testing.MockClock) -> None:
    found: list[Sighting] = []
    source = StaticSource([BIRDY, FINCH])
    with trio.move_on_after(3600):
        await source.run(found.append)
    source.failed(BIRDY.provider)
    assert found == [
        Sighting(BIRDY.provider, BIRDY.endpoints, b"k" * 32, None, "static"),
        Sighting(FINCH.provider, FINCH.endpoints, None, None, "static"),
    ]
